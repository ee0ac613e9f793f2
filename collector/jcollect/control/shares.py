"""A total that the users of untrusted processes share: none of them gets more than half."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable


class Shares:
    """Hands out parts of a total. For any thread."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._taken: Counter[Hashable] = Counter()

    def take(self, owner: Hashable, amount: int) -> bool:
        """Takes an amount for an owner; returns false, and takes nothing, if less is left."""
        with self._lock:
            if self._taken[owner] + amount > self._most // 2 or self._taken.total() + amount > self._most:
                return False
            self._taken[owner] += amount
            return True

    def give_back(self, owner: Hashable, amount: int) -> None:
        with self._lock:
            self._taken[owner] -= amount
            if not self._taken[owner]:
                del self._taken[owner]

"""The memory that all queues of a hub share."""

from __future__ import annotations

import threading


class MemoryBudget:
    """Counts the bytes that all queues hold, and decides whether a queue may hold more."""

    def __init__(self, one: int, every: int) -> None:
        """Limits in bytes: `one` for a queue, `every` for all."""
        self._one = one
        self._every = every
        self._lock = threading.Lock()
        self._taken = 0
        self._queues = 0

    def open(self) -> None:
        with self._lock:
            self._queues += 1

    def close(self, held: int) -> None:
        with self._lock:
            self._queues -= 1
            self._taken -= held

    def take(self, held: int, more: int) -> bool:
        """Reserves room for a queue that holds `held` bytes; an empty queue may always have one message."""
        with self._lock:
            after = held + more
            fits = after <= self._one and (
                self._taken + more <= self._every or after <= self._every // self._queues
            )
            if fits or not held:
                self._taken += more
                return True
            return False

    def give_back(self, size: int) -> None:
        with self._lock:
            self._taken -= size

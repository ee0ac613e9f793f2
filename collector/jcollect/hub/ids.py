"""Assigns IDs to probes, and reassigns those of retired probes whose hit counts are final."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from jcollect.hub.accounts import Accounts, Share

# Maximum number of retired probes that are still described, in status and to new subscribers.
MAX_RETIRED = 16384


class HasIds(Protocol):
    """Probes that are retired together. `ids` are theirs, int64."""

    @property
    def ids(self) -> npt.NDArray[np.int64]: ...


_Group = TypeVar("_Group", bound=HasIds)


class ProbeIds(Generic[_Group]):
    """The IDs below a capacity: fresh, in use, or of retired probes. The caller's lock protects it."""

    def __init__(self, accounts: Accounts, remove: Callable[[Sequence[int]], None]) -> None:
        """`remove` makes the hub forget probes before their IDs are reassigned."""
        self._accounts = accounts
        self._remove = remove
        self._fresh = 0
        self._free: deque[int] = deque()
        # Oldest retirement first.
        self._retired: deque[tuple[_Group, Share]] = deque()

    @property
    def capacity(self) -> int:
        return self._accounts.capacity

    @property
    def retired(self) -> list[_Group]:
        """The retired probes whose IDs are not reassigned yet."""
        return [group for group, _ in self._retired]

    def assign(self, wanted: int) -> list[int]:
        """Returns `wanted` IDs, or all that are available."""
        missing = wanted - (self.capacity - self._fresh) - len(self._free)
        if missing > 0:
            self._release(missing)
        # Fresh IDs first: the later an ID is reassigned, the better.
        fresh = min(wanted, self.capacity - self._fresh)
        ids = list(range(self._fresh, self._fresh + fresh))
        while len(ids) < wanted and self._free:
            ids.append(self._free.popleft())
        self._fresh += fresh
        return ids

    def give_back(self, ids: Sequence[int]) -> None:
        """Takes back IDs of probes that were never described."""
        self._free.extend(ids)

    def retire(self, group: _Group, share: Share) -> None:
        """Keeps the IDs of probes that will not fire again, and releases the oldest beyond MAX_RETIRED.
        `share` is that of their process."""
        self._retired.append((group, share))
        kept = sum(len(each.ids) for each, _ in self._retired)
        if kept > MAX_RETIRED:
            self._release(kept - MAX_RETIRED)

    def _release(self, wanted: int) -> None:
        """Releases `wanted` IDs, oldest first, as far as no event of their probes is in flight."""
        counts = self._accounts.hit_counts()
        while wanted > 0 and self._retired and not counts.totals(self._retired[0][0].ids).missing:
            group, share = self._retired.popleft()
            ids = group.ids.tolist()
            self._remove(ids)
            share.close(group.ids, counts.totals(group.ids))
            self._accounts.release(group.ids)
            self._free.extend(ids)
            wanted -= len(ids)

"""The books: every hit is delivered, filtered or lost at a stage, and the sum is exact.

hits = delivered + filtered + lost in the ring + lost in the collector, whenever nothing is on its way.
Hits are what the kernel has counted and what the process has held back before it came to that; filtered
is the latter, and what --max-events leaves out. What a slow subscriber misses is that subscriber's own
account: see hub.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jcollect.stream.columns import U32, U64


@dataclass(frozen=True)
class Totals:
    """Numbers of events."""

    hits: int
    delivered: int
    filtered: int
    lost_in_ring: int
    lost_in_collector: int

    @property
    def lost(self) -> int:
        return self.lost_in_ring + self.lost_in_collector

    @property
    def missing(self) -> int:
        """0, unless the books do not balance."""
        return self.hits - self.delivered - self.filtered - self.lost


class Accounts:
    """Counts by probe id, uint64: one element for each id below `capacity`, given out yet or not.

    Each is written by one thread only, mostly the reader's; read by any.
    """

    def __init__(self, capacity: int, hits: Callable[[], U64], lost_in_ring: Callable[[], U64]) -> None:
        """`hits` and `lost_in_ring` read the kernel's counters."""
        self.capacity = capacity
        self._hits = hits
        self._lost_in_ring = lost_in_ring
        self._delivered = 0
        self._filtered = 0
        self._held_back = np.zeros(capacity, np.uint64)
        self._lost_in_collector = np.zeros(capacity, np.uint64)

    def deliver(self, events: int) -> None:
        self._delivered += events

    def filter(self, events: int) -> None:
        self._filtered += events

    def hold_back(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        """What the process has held back from these probes by now, since they were attached to."""
        self._held_back[ids] = counts

    def lose_in_collector(self, by_probe: U64) -> None:
        self._lost_in_collector = self._lost_in_collector + by_probe

    def count(self, probe: U32) -> U64:
        """How often each probe id occurs in a column."""
        counts: U64 = np.bincount(probe, minlength=self.capacity).astype(np.uint64)
        return counts

    def lost_in_ring(self) -> U64:
        return self._lost_in_ring()

    def lost_in_collector(self) -> U64:
        return self._lost_in_collector

    def totals(self) -> Totals:
        held_back = int(self._held_back.sum())
        return Totals(
            hits=int(self._hits().sum()) + held_back,
            delivered=self._delivered,
            filtered=self._filtered + held_back,
            lost_in_ring=int(self._lost_in_ring().sum()),
            lost_in_collector=int(self._lost_in_collector.sum()),
        )

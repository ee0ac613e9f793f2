"""The books: every hit is delivered, filtered or lost at a stage, and the sum is exact for each probe.

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
        """On their way; when nothing is, 0, unless the books do not balance."""
        return self.hits - self.delivered - self.filtered - self.lost


@dataclass(frozen=True)
class Books:
    """The same by probe id, uint64: one element for each id below the accounts' capacity."""

    hits: U64
    delivered: U64
    filtered: U64
    lost_in_ring: U64
    lost_in_collector: U64

    def of(self, probe: int) -> Totals:
        """Of one probe id."""
        return Totals(
            int(self.hits[probe]),
            int(self.delivered[probe]),
            int(self.filtered[probe]),
            int(self.lost_in_ring[probe]),
            int(self.lost_in_collector[probe]),
        )

    def totals(self) -> Totals:
        """Of all."""
        return Totals(
            int(self.hits.sum()),
            int(self.delivered.sum()),
            int(self.filtered.sum()),
            int(self.lost_in_ring.sum()),
            int(self.lost_in_collector.sum()),
        )


class Accounts:
    """Counts by probe id, uint64: one element for each id below `capacity`, given out yet or not.

    Each is written by one thread only, mostly the reader's; read by any.
    """

    def __init__(self, capacity: int, hits: Callable[[], U64], lost_in_ring: Callable[[], U64]) -> None:
        """`hits` and `lost_in_ring` read the kernel's counters."""
        self.capacity = capacity
        self._hits = hits
        self._lost_in_ring = lost_in_ring
        self._delivered = np.zeros(capacity, np.uint64)
        self._filtered = np.zeros(capacity, np.uint64)
        self._held_back = np.zeros(capacity, np.uint64)
        self._lost_in_collector = np.zeros(capacity, np.uint64)

    def deliver(self, probes: U32) -> None:
        """Events of these probe ids, one element each, as in a column."""
        _count(self._delivered, probes)

    def filter(self, probes: U32) -> None:
        _count(self._filtered, probes)

    def lose_in_collector(self, probes: U32) -> None:
        _count(self._lost_in_collector, probes)

    def hold_back(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        """What the process has held back from these probes by now, since they were attached to."""
        self._held_back[ids] = counts

    def count(self, probe: U32) -> U64:
        """How often each probe id occurs in a column."""
        counts = np.zeros(self.capacity, np.uint64)
        _count(counts, probe)
        return counts

    def lost_in_ring(self) -> U64:
        return self._lost_in_ring()

    def lost_in_collector(self) -> U64:
        return self._lost_in_collector.copy()

    def books(self) -> Books:
        """Of this moment."""
        # Hits last: what is delivered or lost has been a hit before.
        delivered, lost_in_collector = self._delivered.copy(), self._lost_in_collector.copy()
        lost_in_ring = self._lost_in_ring()
        held_back = self._held_back.copy()
        return Books(
            hits=self._hits() + held_back,
            delivered=delivered,
            filtered=self._filtered + held_back,
            lost_in_ring=lost_in_ring,
            lost_in_collector=lost_in_collector,
        )

    def totals(self) -> Totals:
        return self.books().totals()


def _count(counts: U64, probes: U32) -> None:
    """Adds 1 for each occurrence. Only from the least to the greatest id: batches are of few probes, and
    there may be ids for very many."""
    if len(probes):
        first = int(probes.min())
        found = np.bincount(probes - np.uint32(first))
        counts[first : first + len(found)] += found.astype(np.uint64)

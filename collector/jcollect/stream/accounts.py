"""The books: every hit is delivered, filtered or lost at a stage, and the sum is exact for each probe.

hits = delivered + filtered + throttled + lost in the ring + lost in the collector, whenever nothing is on
its way. Hits are what the kernel has counted and what the process has held back before it came to that:
filtered, by conditions and gates, to which comes what --max-events leaves out; and throttled, because the
probes had cost too much. While a method is unwoven for that, its calls are not counted; the time is. What a
slow subscriber misses is that subscriber's own account: see hub.py.
"""

from __future__ import annotations

import threading
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
    throttled: int = 0
    throttled_ns: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.hits + other.hits,
            self.delivered + other.delivered,
            self.filtered + other.filtered,
            self.lost_in_ring + other.lost_in_ring,
            self.lost_in_collector + other.lost_in_collector,
            self.throttled + other.throttled,
            self.throttled_ns + other.throttled_ns,
        )

    @property
    def lost(self) -> int:
        return self.lost_in_ring + self.lost_in_collector

    @property
    def missing(self) -> int:
        """On their way; when nothing is, 0, unless the books do not balance."""
        return self.hits - self.delivered - self.filtered - self.throttled - self.lost


@dataclass(frozen=True)
class Books:
    """The same by probe id, uint64: one element for each id below the accounts' capacity."""

    hits: U64
    delivered: U64
    filtered: U64
    lost_in_ring: U64
    lost_in_collector: U64
    throttled: U64
    throttled_ns: U64

    def totals(self, probes: npt.NDArray[np.int64] | slice = slice(None)) -> Totals:
        """Of all, or of some probe ids."""
        return Totals(
            int(self.hits[probes].sum()),
            int(self.delivered[probes].sum()),
            int(self.filtered[probes].sum()),
            int(self.lost_in_ring[probes].sum()),
            int(self.lost_in_collector[probes].sum()),
            int(self.throttled[probes].sum()),
            int(self.throttled_ns[probes].sum()),
        )


class Accounts:
    """Counts by probe id, uint64: one element for each id below `capacity`, given out yet or not.

    Each is written by one thread only, mostly the reader's; read by any. An id that stands for another
    probe from now on is `release`d before: what it has counted stays in the totals alone.
    """

    def __init__(self, capacity: int, hits: Callable[[], U64], lost_in_ring: Callable[[], U64]) -> None:
        """`hits` and `lost_in_ring` read the kernel's counters."""
        self.capacity = capacity
        self._hits = hits
        self._lost_in_ring = lost_in_ring
        self._delivered = np.zeros(capacity, np.uint64)
        self._filtered = np.zeros(capacity, np.uint64)
        # As live.Held has it: filtered, throttled, and for how long.
        self._held_back = np.zeros((capacity, 3), np.uint64)
        self._lost_in_collector = np.zeros(capacity, np.uint64)
        # Of ids that were released: what they counted for whom they stood for before.
        self._released = Totals(0, 0, 0, 0, 0)
        self._hits_before = np.zeros(capacity, np.uint64)
        self._ring_before = np.zeros(capacity, np.uint64)
        self._throttled_before = np.zeros(capacity, np.uint64)
        self._release_lock = threading.Lock()

    def deliver(self, probes: U32) -> None:
        """Events of these probe ids, one element each, as in a column."""
        _count(self._delivered, probes)

    def filter(self, probes: U32) -> None:
        _count(self._filtered, probes)

    def lose_in_collector(self, probes: U32) -> None:
        _count(self._lost_in_collector, probes)

    def hold_back(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        """What the process has held back from these probes by now, since they were attached to: rows as
        live.Held has them."""
        self._held_back[ids] = counts

    def count(self, probe: U32) -> U64:
        """How often each probe id occurs in a column."""
        counts = np.zeros(self.capacity, np.uint64)
        _count(counts, probe)
        return counts

    def lost_in_ring(self) -> U64:
        """Since the beginning, whatever the ids stood for."""
        return self._lost_in_ring()

    def lost_in_collector(self) -> U64:
        return self._lost_in_collector.copy()

    def throttled(self) -> U64:
        """Calls held back because the probes of their process had cost too much; since the beginning,
        whatever the ids stood for."""
        return self._held_back[:, 1] + self._throttled_before

    def release(self, ids: npt.NDArray[np.int64]) -> None:
        """Of probes that will not fire again, and of which nothing is on its way."""
        with self._release_lock:
            self._released += self._books().totals(ids)
            self._hits_before[ids] = self._hits()[ids]
            self._ring_before[ids] = self._lost_in_ring()[ids]
            self._throttled_before[ids] += self._held_back[ids, 1]
            for counts in (self._delivered, self._filtered, self._held_back, self._lost_in_collector):
                counts[ids] = 0

    def books(self) -> Books:
        """Of this moment, of the probes that the ids stand for now."""
        with self._release_lock:
            return self._books()

    def totals(self) -> Totals:
        """Of all probes that there are and have been."""
        with self._release_lock:
            return self._books().totals() + self._released

    def _books(self) -> Books:
        # Hits last: what is delivered or lost has been a hit before.
        delivered, lost_in_collector = self._delivered.copy(), self._lost_in_collector.copy()
        held_back = self._held_back.copy()
        filtered = self._filtered + held_back[:, 0]
        throttled = held_back[:, 1]
        lost_in_ring = self._lost_in_ring() - self._ring_before
        return Books(
            hits=self._hits() - self._hits_before + held_back[:, 0] + throttled,
            delivered=delivered,
            filtered=filtered,
            lost_in_ring=lost_in_ring,
            lost_in_collector=lost_in_collector,
            throttled=throttled,
            throttled_ns=held_back[:, 2],
        )


def _count(counts: U64, probes: U32) -> None:
    """Adds 1 for each occurrence. Only from the least to the greatest id: batches are of few probes, and
    there may be ids for very many."""
    if len(probes):
        first = int(probes.min())
        found = np.bincount(probes - np.uint32(first))
        counts[first : first + len(found)] += found.astype(np.uint64)

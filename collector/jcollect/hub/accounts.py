"""The books: every hit is delivered, filtered or lost at a stage, and the sum is exact for each probe.

hits = delivered + filtered + throttled + lost in the ring + lost in the collector, whenever nothing is on
its way. Hits are what the kernel has counted and what the process has held back before it came to that:
filtered, by conditions and gates, to which comes what --max-events leaves out; and throttled, because the
probes had cost too much. While a method is unwoven for that, its calls are not counted; the time is. What a
slow subscriber misses is that subscriber's own account: see hub.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from jcollect.sources.columns import U32, U64

# A float sum below this limit belongs to an integer sum below 2**64.
_FITS = 2.0**63


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
        return Totals(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    @property
    def lost(self) -> int:
        return self.lost_in_ring + self.lost_in_collector

    @property
    def missing(self) -> int:
        """On their way; when nothing is, 0, unless the books do not balance."""
        return self.hits - self.delivered - self.filtered - self.throttled - self.lost


@dataclass(frozen=True)
class HitCounts:
    """The same by probe id, uint64: one element for each id below the accounts' capacity."""

    hits: U64
    delivered: U64
    filtered: U64
    lost_in_ring: U64
    lost_in_collector: U64
    throttled: U64
    throttled_ns: U64

    def __sub__(self, other: HitCounts) -> HitCounts:
        return HitCounts(*(now - before for now, before in zip(_values(self), _values(other), strict=True)))

    def totals(self, probes: npt.NDArray[np.int64] | slice = slice(None)) -> Totals:
        """Of all, or of some probe ids."""
        return Totals(*(exact_sum(counts[probes]) for counts in _values(self)))

    def each(self, probes: Sequence[int]) -> list[Totals]:
        """Returns the totals of each of these probe IDs."""
        ids = np.array(probes, np.int64)
        return [Totals(*counts) for counts in zip(*(of[ids].tolist() for of in _values(self)), strict=True)]


def exact_sum(counts: U64) -> int:
    """Returns the sum without overflow: the times of many probes exceed 64 bits within days."""
    if counts.sum(dtype=np.float64) < _FITS:
        return int(counts.sum())
    return sum(counts.tolist())


class Share:
    """The share of the books that belongs to one process: its probes that have ids, and those that have given
    theirs back.

    The caller ensures that no ids are given back in the meantime.
    """

    def __init__(self) -> None:
        self._ids: list[npt.NDArray[np.int64]] = []
        self._closed = Totals(0, 0, 0, 0, 0)

    def add(self, ids: npt.NDArray[np.int64]) -> None:
        self._ids.append(ids)

    def close(self, ids: npt.NDArray[np.int64], totals: Totals) -> None:
        """Ends the share: the ids are given back, with these final totals."""
        self._ids = [each for each in self._ids if each is not ids]
        self._closed += totals

    def totals(self, counts: HitCounts) -> Totals:
        """Returns the totals according to the counts."""
        if not self._ids:
            return self._closed
        return self._closed + counts.totals(np.concatenate(self._ids))


def _values(counts: HitCounts) -> list[U64]:
    return [getattr(counts, field.name) for field in fields(counts)]


class Accounts:
    """Counts by probe id, uint64: one element for each id below `capacity`, given out yet or not.

    Each is written by one thread only, mostly the reader's; read by any. None ever falls: when an id comes
    to stand for another probe it is `release`d before, and the books of that probe begin there.
    """

    def __init__(self, capacity: int, hits: Callable[[], U64], lost_in_ring: Callable[[], U64]) -> None:
        """`hits` and `lost_in_ring` read the kernel's counters."""
        self.capacity = capacity
        self._hits = hits
        self._lost_in_ring = lost_in_ring
        self._delivered = np.zeros(capacity, np.uint64)
        self._filtered = np.zeros(capacity, np.uint64)
        # As live.Suppressed has it: filtered, throttled, and for how long.
        self._held_back = np.zeros((capacity, 3), np.uint64)
        self._lost_in_collector = np.zeros(capacity, np.uint64)
        # Of probes that the ids stood for before.
        self._before = HitCounts(*(np.zeros(capacity, np.uint64) for _ in fields(HitCounts)))
        self._held_back_before = np.zeros((capacity, 3), np.uint64)
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
        live.Suppressed has them."""
        self._held_back[ids] = self._held_back_before[ids] + counts

    def count(self, probe: U32) -> U64:
        """How often each probe id occurs in a column."""
        counts = np.zeros(self.capacity, np.uint64)
        _count(counts, probe)
        return counts

    # Since the beginning, whatever the ids stood for.

    def lost_in_ring(self) -> U64:
        return self._lost_in_ring()

    def lost_in_collector(self) -> U64:
        return self._lost_in_collector.copy()

    def throttled(self) -> U64:
        """Calls held back because the probes of their process had cost too much."""
        return self._held_back[:, 1].copy()

    def totals(self) -> Totals:
        """Of all probes that there are and have been."""
        return self._since_the_beginning().totals()

    # Of the probes that the ids stand for now.

    def release(self, ids: npt.NDArray[np.int64]) -> None:
        """Of probes that will not fire again, and of which nothing is on its way."""
        now = self._since_the_beginning()
        with self._release_lock:
            for before, counts in zip(_values(self._before), _values(now), strict=True):
                before[ids] = counts[ids]
            self._held_back_before[ids] = self._held_back[ids]

    def hit_counts(self) -> HitCounts:
        """Of this moment."""
        with self._release_lock:
            return self._since_the_beginning() - self._before

    def _since_the_beginning(self) -> HitCounts:
        # Hits last: what is delivered or lost has been a hit before.
        delivered, lost_in_collector = self._delivered.copy(), self._lost_in_collector.copy()
        held_back = self._held_back.copy()
        filtered, throttled, throttled_ns = held_back.T
        lost_in_ring = self._lost_in_ring()
        return HitCounts(
            hits=self._hits() + filtered + throttled,
            delivered=delivered,
            filtered=self._filtered + filtered,
            lost_in_ring=lost_in_ring,
            lost_in_collector=lost_in_collector,
            throttled=throttled,
            throttled_ns=throttled_ns,
        )


def _count(counts: U64, probes: U32) -> None:
    """Adds 1 for each occurrence. Only from the least to the greatest id: batches are of few probes, and
    there may be ids for very many."""
    if len(probes):
        first = int(probes.min())
        found = np.bincount(probes - np.uint32(first))
        counts[first : first + len(found)] += found.astype(np.uint64)

"""Hit accounting: each hit is delivered, counted, filtered, throttled or lost at a known stage, and the
counts of each probe add up exactly.

hits = delivered + counted + filtered + throttled + lost by source and stage, whenever no event is in flight.
Hits are the calls that the sources count, those that the process only counts in histograms, for which there
are no events, and those that it suppresses before. It filters calls by conditions
and gates (`--max-events` filters more), and throttles them when the probes cost too much. While a method is
unwoven for that, its calls are not counted, but the time is. Events that a slow subscriber loses are counted
per subscriber: see subscription.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from jcollect.sources.base import Counters, LossStage
from jcollect.sources.columns import U32, U64, count_ids

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
    counted: int = 0
    lost_in_direct_rings: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    @property
    def lost(self) -> int:
        return self.lost_in_ring + self.lost_in_direct_rings + self.lost_in_collector

    @property
    def missing(self) -> int:
        """Events in flight. 0 if none is, unless the counts do not add up."""
        return self.hits - self.delivered - self.counted - self.filtered - self.throttled - self.lost


@dataclass(frozen=True)
class SourceTotals:
    """Numbers of events of one source: lost by stage, and hits, in which the losses are included."""

    name: str
    losses: Mapping[LossStage, int]
    hits: int


@dataclass(frozen=True)
class HitCounts:
    """Hit counts by probe ID, uint64: one element for each ID below the accounts' capacity."""

    hits: U64
    delivered: U64
    filtered: U64
    lost_in_ring: U64
    lost_in_collector: U64
    throttled: U64
    throttled_ns: U64
    counted: U64
    lost_in_direct_rings: U64

    def __sub__(self, other: HitCounts) -> HitCounts:
        return HitCounts(*(now - before for now, before in zip(_values(self), _values(other), strict=True)))

    def totals(self, probes: npt.NDArray[np.int64] | slice = slice(None)) -> Totals:
        """Returns the totals of all probe IDs, or of some."""
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
    """The part of the hit counts that belongs to one process: of its probes that have IDs, and of those whose
    IDs were released.

    The caller's lock keeps IDs from being released during a call.
    """

    def __init__(self) -> None:
        self._ids: list[npt.NDArray[np.int64]] = []
        self._closed = Totals(0, 0, 0, 0, 0)

    def add(self, ids: npt.NDArray[np.int64]) -> None:
        self._ids.append(ids)

    def close(self, ids: npt.NDArray[np.int64], totals: Totals) -> None:
        """Releases the IDs, with these final totals."""
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
    """Counts by probe ID, uint64: one element for each ID below `capacity`, assigned or not.

    Each is written by one thread only, mostly the reader's, and read by any. None ever falls: before an ID is
    reassigned, it is `release`d, and the counts of the new probe begin there.
    """

    def __init__(self, capacity: int, sources: Sequence[Counters]) -> None:
        self.capacity = capacity
        self._sources = sources
        self._delivered = np.zeros(capacity, np.uint64)
        self._filtered = np.zeros(capacity, np.uint64)
        # Rows as in live.Suppressed: filtered, throttled, and for how long.
        self._suppressed = np.zeros((capacity, 3), np.uint64)
        self._counted = np.zeros(capacity, np.uint64)
        # Counts of the probes that had the IDs before.
        self._before = HitCounts(*(np.zeros(capacity, np.uint64) for _ in fields(HitCounts)))
        self._suppressed_before = np.zeros((capacity, 3), np.uint64)
        self._counted_before = np.zeros(capacity, np.uint64)
        self._release_lock = threading.Lock()

    def deliver(self, probes: U32) -> None:
        """Counts events of these probe IDs, one element each, as in a column."""
        count_ids(self._delivered, probes)

    def filter(self, probes: U32) -> None:
        """Counts events that `--max-events` leaves out."""
        count_ids(self._filtered, probes)

    def suppress(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        """Sets the calls that the process has suppressed at these probes since they were armed: rows as in
        live.Suppressed."""
        self._suppressed[ids] = self._suppressed_before[ids] + counts

    def count_calls(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        """Sets the calls that the process has only counted at these probes since they were armed."""
        self._counted[ids] = self._counted_before[ids] + counts

    def count(self, probe: U32) -> U64:
        """Returns how often each probe ID occurs in a column."""
        counts = np.zeros(self.capacity, np.uint64)
        count_ids(counts, probe)
        return counts

    # Counts since the start, for all probes that have had the ID.

    def lost_in_ring(self) -> U64:
        return self._lost(LossStage.KERNEL_RING)

    def lost_in_direct_rings(self) -> U64:
        return self._lost(LossStage.DIRECT_RING)

    def lost_in_collector(self) -> U64:
        return self._lost(LossStage.COLLECTOR)

    def throttled(self) -> U64:
        """Returns the calls throttled because the probes of their process had cost too much."""
        return self._suppressed[:, 1].copy()

    def totals(self) -> Totals:
        """Returns the totals of all current and former probes."""
        return self._since_start().totals()

    def by_source(self) -> list[SourceTotals]:
        """Returns the totals of each source."""
        return [
            SourceTotals(
                source.name,
                losses={stage: exact_sum(source.lost(stage)) for stage in source.stages},
                hits=exact_sum(source.hits()),
            )
            for source in self._sources
        ]

    # Counts of the probes that have the IDs now.

    def release(self, ids: npt.NDArray[np.int64]) -> None:
        """Ends the counts of probes that will not fire again and have no event in flight."""
        now = self._since_start()
        with self._release_lock:
            for before, counts in zip(_values(self._before), _values(now), strict=True):
                before[ids] = counts[ids]
            self._suppressed_before[ids] = self._suppressed[ids]
            self._counted_before[ids] = self._counted[ids]

    def hit_counts(self) -> HitCounts:
        """Returns the current counts."""
        with self._release_lock:
            return self._since_start() - self._before

    def _since_start(self) -> HitCounts:
        # Hits last: an event is a hit before it is delivered or lost.
        delivered = self._delivered.copy()
        suppressed = self._suppressed.copy()
        counted = self._counted.copy()
        filtered, throttled, throttled_ns = suppressed.T
        lost_in_collector, lost_in_ring = self.lost_in_collector(), self.lost_in_ring()
        lost_in_direct_rings = self.lost_in_direct_rings()
        return HitCounts(
            hits=self._sum(source.hits() for source in self._sources) + filtered + throttled + counted,
            delivered=delivered,
            filtered=self._filtered + filtered,
            lost_in_ring=lost_in_ring,
            lost_in_collector=lost_in_collector,
            throttled=throttled,
            throttled_ns=throttled_ns,
            counted=counted,
            lost_in_direct_rings=lost_in_direct_rings,
        )

    def _lost(self, stage: LossStage) -> U64:
        return self._sum(source.lost(stage) for source in self._sources if stage in source.stages)

    def _sum(self, counts: Iterable[U64]) -> U64:
        """Returns the sum of arrays by ID. With one array it is that array, which is not copied."""
        every = list(counts)
        if len(every) == 1:
            return every[0]
        return sum(every, np.zeros(self.capacity, np.uint64))

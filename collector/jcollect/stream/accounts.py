"""The books: every hit is delivered, filtered or lost at a stage, and the sum is exact.

hits = delivered + filtered + lost in the ring + lost in the collector, per probe, whenever nothing is
on its way. What a slow subscriber misses is that subscriber's own account: see hub.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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
    """Counts by probe id, uint64. Written by the reader's thread only; read by any."""

    def __init__(self, probes: int, hits: Callable[[], U64], lost_in_ring: Callable[[], U64]) -> None:
        """`hits` and `lost_in_ring` read the kernel's counters."""
        self._probes = probes
        self._hits = hits
        self._lost_in_ring = lost_in_ring
        self._delivered = 0
        self._filtered = 0
        self._lost_in_collector = np.zeros(probes, np.uint64)

    def deliver(self, events: int) -> None:
        self._delivered += events

    def filter(self, events: int) -> None:
        self._filtered += events

    def lose_in_collector(self, by_probe: U64) -> None:
        self._lost_in_collector = self._lost_in_collector + by_probe

    def count(self, probe: U32) -> U64:
        """How often each probe id occurs in a column."""
        counts: U64 = np.bincount(probe, minlength=self._probes).astype(np.uint64)
        return counts

    def lost_in_ring(self) -> U64:
        return self._lost_in_ring()

    def lost_in_collector(self) -> U64:
        return self._lost_in_collector

    def totals(self) -> Totals:
        return Totals(
            hits=int(self._hits().sum()),
            delivered=self._delivered,
            filtered=self._filtered,
            lost_in_ring=int(self._lost_in_ring().sum()),
            lost_in_collector=int(self._lost_in_collector.sum()),
        )

"""Histograms of the calls of a replay, for Aggregate: summed up from the durations of its events."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from jcollect.exponential_histogram import NOTHING, SCALE, ExponentialHistogram, upper_bound
from jcollect.probes.description import ProbeDescription
from jcollect.session.aggregation import CountedInterval
from jcollect.sources.columns import Columns

# Element i is the longest duration of bucket i - 1: 1 ns is in bucket -1.
_BOUNDS = np.array([min(upper_bound(bucket), (1 << 64) - 1) for bucket in range(-1, 64 << SCALE)], np.uint64)
# More than there are buckets.
_BUCKETS = 2048


class ReplayCounts:
    """Counts calls by probe ID. For one thread that adds, and any that reads."""

    def __init__(self, capacity: int) -> None:
        self._is_timed = np.zeros(capacity, np.bool_)
        self._counts: dict[int, ExponentialHistogram] = {}
        self._lock = threading.Lock()
        # The time of the last event, in ns; 0 before the first.
        self.now = 0

    def describe(self, probe: int, is_timed: bool) -> None:
        """Sets whether events of a probe have durations. If its ID is reassigned, forgets its calls."""
        with self._lock:
            self._is_timed[probe] = is_timed
            self._counts.pop(probe, None)

    def add(self, columns: Columns) -> None:
        """Adds events."""
        self.now = max(self.now, int(columns.time_unix_nanos.max()))
        timed = self._is_timed[columns.probe]
        if not timed.any():
            return
        probes, took = columns.probe[timed], columns.duration_nanos[timed]
        ids, which = np.unique(probes, return_inverse=True)
        # The sum of a piece of 1 MiB is exact: below 2^53 ns, which are 104 days.
        totals = np.bincount(which, took.astype(np.float64), len(ids))
        zeros = np.bincount(which, took == 0, len(ids))
        called = took > 0
        keys = which[called].astype(np.int64) * _BUCKETS + np.searchsorted(_BOUNDS, took[called])
        used, counts = np.unique(keys, return_counts=True)
        with self._lock:
            for index, probe in enumerate(ids.tolist()):
                own = slice(*np.searchsorted(used, (index * _BUCKETS, (index + 1) * _BUCKETS)).tolist())
                buckets = dict(
                    zip((used[own] - index * _BUCKETS - 1).tolist(), counts[own].tolist(), strict=True)
                )
                more = ExponentialHistogram.of_buckets(buckets, int(zeros[index]), int(totals[index]))
                self._counts[probe] = self._counts.get(probe, NOTHING) + more

    def all(self) -> dict[int, ExponentialHistogram]:
        """Returns the calls so far."""
        with self._lock:
            return dict(self._counts)


class ReplayAggregation:
    """The calls of some probes of a replay, for one client. Times are those of the recording."""

    def __init__(
        self,
        counts: ReplayCounts,
        probes: Callable[[], list[ProbeDescription]],
        is_over: threading.Event,
        begin: Callable[[], None],
    ) -> None:
        """`probes` returns the matching probes. `is_over` is set at the end of the recording. `begin` lets
        the replay begin, after the first interval."""
        self._counts = counts
        self._begin = begin
        self._probes = probes
        self._is_over = is_over
        self._has_ended = threading.Event()
        self._described: dict[int, ProbeDescription] = {}
        self._before: dict[int, ExponentialHistogram] = {}
        self._end = 0

    def interval(self, is_whole: bool = False) -> CountedInterval:
        """Returns the calls since the last call of this method; the first time those so far, and none unless
        `is_whole`."""
        probes = self._probes()
        new = [probe for probe in probes if self._described.get(probe.id) is not probe]
        for probe in new:
            if probe.id in self._described:
                self._before.pop(probe.id, None)
            self._described[probe.id] = probe
        now, counts = self._counts.now, self._counts.all()
        is_first = not self._end
        began, self._end = self._end or now, max(now, 1)
        own = {probe.id: counts[probe.id] for probe in probes if probe.id in counts}
        before, self._before = self._before, own
        if is_first:
            self._begin()
        if is_first and not is_whole:
            return CountedInterval(new, [], began, now)
        found = [(probe, calls - before.get(probe, NOTHING)) for probe, calls in own.items()]
        return CountedInterval(new, [(probe, calls) for probe, calls in found if calls.count], began, now)

    def wait(self, seconds: float) -> bool:
        """Waits until `end` is called or the recording has been replayed, at most `seconds`. Returns true if
        either has happened."""
        return self._has_ended.wait(0.0 if self._is_over.is_set() else seconds) or self._is_over.is_set()

    def end(self) -> None:
        self._has_ended.set()

    def close(self) -> None:
        """Does nothing: the calls are counted for all clients together."""

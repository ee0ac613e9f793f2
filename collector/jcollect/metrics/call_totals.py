"""Sums up the calls of methods over a long time, with a bound on how many methods are told apart.

A series never falls. The calls of methods without a series are summed in `other`, and stay there when their
method gets a series. So each call is in one series only, and the increase of all series is that of all calls.
A method that loses its series, and gets it back, goes on where it was. The calls of series that are not shown
are `hidden`. They are no part of `other`: Prometheus would take them for new calls.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jcollect.exponential_histogram import NOTHING, ExponentialHistogram
from jcollect.probes.description import Described
from jcollect.probes.probe import THROW, TIMED_KINDS
from jcollect.session.aggregation import CountedInterval
from jcollect.shortened import shortened

# Maximum number of methods that are remembered. Further ones never get a series.
_MOST_REMEMBERED = 1 << 17
# A method takes the series of another one if it has this many times its calls. With less, two methods of
# equal load would take turns.
_LEAD = 2
# Time for which the series of an exited process stay: scrapers, which come once a minute or more often, read
# the last counts.
KEPT_SECONDS = 300.0
# Maximum number of characters of a name in a label.
_MOST_NAME = 512


class MethodKey(NamedTuple):
    """A method of a process. Classes of the same name, of several loaders, are one. `process` is the main
    class."""

    pid: int
    process: str
    class_name: str
    method: str
    descriptor: str


@dataclass
class Calls:
    """Durations of calls by their outcome, and the time in ns since 1970-01-01T00:00:00Z at which they began
    to count."""

    start_unix_nanos: int = 0
    returned: ExponentialHistogram = NOTHING
    threw: ExponentialHistogram = NOTHING

    def add(self, more: ExponentialHistogram, is_throw: bool) -> None:
        if is_throw:
            self.threw += more
        else:
            self.returned += more

    def copy(self) -> Calls:
        return Calls(self.start_unix_nanos, self.returned, self.threw)

    @property
    def count(self) -> int:
        return self.returned.count + self.threw.count


@dataclass
class _Method:
    key: MethodKey
    # All calls, those in `other` included.
    calls: int = 0
    # None until it is shown for the first time.
    series: Calls | None = None
    is_shown: bool = False
    # The time.monotonic() of the first reading that missed its process; None while it runs.
    exited: float | None = None


@dataclass(frozen=True)
class MethodCalls:
    """The series of one method."""

    key: MethodKey
    calls: Calls


@dataclass(frozen=True)
class CallSnapshot:
    """All series at one moment. `hidden` is the number of calls in series that have ended, and `methods` that
    of methods that were called, with a series or without. Every call is in `series`, `other` or `hidden`."""

    series: list[MethodCalls] = field(default_factory=list)
    other: Calls = field(default_factory=Calls)
    hidden: int = 0
    methods: int = 0


class CallTotals:
    """For one thread at a time."""

    def __init__(self, most_series: int, start_unix_nanos: int) -> None:
        self._most = most_series
        self._of_probe: dict[int, tuple[_Method, bool]] = {}
        self._methods: dict[MethodKey, _Method] = {}
        self._other = Calls(start_unix_nanos)
        # Calls in the series of methods that are forgotten.
        self._forgotten = 0

    def describe(self, probes: Iterable[Described], names: Mapping[int, str]) -> None:
        """Adds probes. An ID that is described again has been reassigned. `names` are those of processes by
        PID."""
        for probe in probes:
            if probe.kind in TIMED_KINDS:
                self._of_probe[probe.id] = (self._method(_key_of(probe, names)), probe.kind == THROW)

    def add(self, interval: CountedInterval) -> None:
        """Adds the calls of an interval, whose probes were described."""
        new = [
            (*self._of_probe[number], histogram)
            for number, histogram in interval.histograms
            if number in self._of_probe
        ]
        for method, _, histogram in new:
            method.calls += histogram.count
        self._choose(interval.start_unix_nanos)
        for method, is_throw, histogram in new:
            shown = method.series if method.is_shown else None
            (shown or self._other).add(histogram, is_throw)

    def forget_exited(self, pids: Collection[int]) -> None:
        """Ends the series of processes that have exited some time ago: all but those with these PIDs. To be
        called after each `add`."""
        now = time.monotonic()
        over = set()
        for method in self._methods.values():
            if method.key.pid in pids:
                method.exited = None
            elif method.exited is None:
                # The next interval has the last calls.
                method.exited = now
            elif not method.is_shown or now - method.exited >= KEPT_SECONDS:
                over.add(id(method))
                self._forgotten += method.series.count if method.series else 0
        if over:
            self._methods = {key: each for key, each in self._methods.items() if id(each) not in over}
            self._of_probe = {n: each for n, each in self._of_probe.items() if id(each[0]) not in over}

    def snapshot(self) -> CallSnapshot:
        called = [each for each in self._methods.values() if each.calls]
        series = [
            MethodCalls(each.key, each.series.copy()) for each in called if each.series and each.is_shown
        ]
        hidden = sum(each.series.count for each in called if each.series and not each.is_shown)
        return CallSnapshot(series, self._other.copy(), self._forgotten + hidden, len(called))

    def _method(self, key: MethodKey) -> _Method:
        method = self._methods.get(key)
        if method is None:
            # Without a place in _methods it is never chosen.
            method = _Method(key)
            if len(self._methods) < _MOST_REMEMBERED:
                self._methods[key] = method
        return method

    def _choose(self, now: int) -> None:
        """Gives series to the methods with the most calls."""
        waiting = [each for each in self._methods.values() if not each.is_shown and each.calls]
        if not waiting:
            return
        holders = [each for each in self._methods.values() if each.is_shown]
        waiting = heapq.nlargest(self._most, waiting, key=lambda each: each.calls)
        # From the first one to lose its series.
        holders.sort(key=lambda each: (each.exited is None, each.calls))
        free = self._most - len(holders)
        for method in waiting:
            if free > 0:
                free -= 1
            elif holders and _gives_way(holders[0], method):
                holders.pop(0).is_shown = False
            else:
                break
            method.is_shown = True
            method.series = method.series or Calls(now)


def _gives_way(holder: _Method, method: _Method) -> bool:
    """Returns true if another method gets a holder's series."""
    has_exited = holder.exited is not None and method.exited is None
    return has_exited or method.calls >= _LEAD * holder.calls


def _key_of(probe: Described, names: Mapping[int, str]) -> MethodKey:
    texts = (names.get(probe.pid, ""), probe.class_name, probe.method, probe.method_descriptor)
    return MethodKey(probe.pid, *(shortened(text, _MOST_NAME) for text in texts))

"""Receives what a collector counts, and sums it up by method, for `jcollect top` and `jcollect hist`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from jcollect.cli.method_feed import Interval
from jcollect.console import plural
from jcollect.session.aggregation import Aggregation, CountedInterval
from jcollect.view.counted_methods import CountedMethod, CountedMethods
from jcollect.view.later import LaterParts
from jcollect.workers import Failures, Worker

# An interval that comes later than this is not waited for.
_LATE_SECONDS = 2.0


@dataclass(frozen=True)
class Counted:
    """The methods called between two times in ns since 1970-01-01T00:00:00Z. `names_pids` is true if the
    methods of several processes have to be distinguished."""

    methods: list[CountedMethod]
    start_unix_nanos: int
    end_unix_nanos: int
    names_pids: bool


class CountFeed:
    """Receives intervals in its own thread."""

    def __init__(self, intervals: Iterator[CountedInterval], failures: Failures) -> None:
        self._intervals = intervals
        self._changed = threading.Condition()
        self._interval = CountedMethods()
        self._later = LaterParts()
        self.totals = CountedMethods()
        self.begun = time.monotonic()
        # The time.monotonic() at which the collector had begun to count; None until then.
        self.subscribed: float | None = None
        self._first = self._start = self._end = 0
        # True if it is not to be shown that nothing was counted: nothing could be.
        self.is_void = False
        self._is_fresh = False
        self._has_ended = False
        # For the end, because they would disturb the table.
        self.warnings: list[str] = []
        self._worker = Worker("receive counts", self._run, failures)

    def start(self) -> None:
        """Starts to receive. Raises JcollectError if no thread can be started."""
        self._worker.start()

    def wait(self, seconds: float) -> bool:
        """Waits for the next interval, for about `seconds`; returns true if no more come."""
        with self._changed:
            late = seconds + _LATE_SECONDS if seconds else 0.0
            self._changed.wait_for(lambda: self._is_fresh or self._has_ended, late)
            return self._has_ended

    def _run(self) -> None:
        try:
            for interval in self._intervals:
                with self._changed:
                    self._add(interval)
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _add(self, interval: CountedInterval) -> None:
        self.warnings += self._later.in_probes(interval.probes)
        if self.subscribed is None:
            self.subscribed = self.begun = time.monotonic()
            self._first = self._start = interval.start_unix_nanos
        for methods in (self._interval, self.totals):
            methods.describe(interval.probes)
            methods.add(interval.histograms, interval.throttled)
        self._end = interval.end_unix_nanos
        self._is_fresh = interval.end_unix_nanos > interval.start_unix_nanos

    def take(self) -> Counted:
        """Returns what was called since the last call of this method."""
        with self._changed:
            found = Counted(
                self._interval.called(), self._start, self._end, self._interval.has_several_processes
            )
            self._interval.clear()
            self._start = self._end
            self._is_fresh = False
            return found

    def take_all(self) -> Counted:
        """Returns what was called since the beginning."""
        with self._changed:
            totals = self.totals
            return Counted(totals.called(), self._first, self._end, totals.has_several_processes)

    def take_interval(self) -> Interval:
        """Does what `take` does, for a table of methods."""
        counted = self.take()
        seconds = max(counted.end_unix_nanos - counted.start_unix_nanos, 1) / 1e9
        methods = [each.summary() for each in counted.methods if each.calls.count]
        return Interval(seconds, methods, self.received(), counted.names_pids)

    def received(self) -> str:
        """Returns a line about all calls so far."""
        counted = f"{plural(self.totals.calls, 'call')} counted"
        throttled = self.totals.throttled
        return f"{counted}; throttled and not counted: {throttled}" if throttled else counted


def own_intervals(aggregation: Aggregation, seconds: float) -> Iterator[CountedInterval]:
    """Yields intervals of so many seconds of a session in this process, until it ends. They have all calls
    since the probes were armed."""
    try:
        while True:
            yield aggregation.interval(is_whole=True)
            if aggregation.wait(seconds):
                yield aggregation.interval()
                return
    finally:
        aggregation.close()

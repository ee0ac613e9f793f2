"""What tests/targets/Mill.java reports: how much work it has done, in rounds."""

from __future__ import annotations

from bisect import bisect_left

from java_target import Process

SECOND_NS = 1_000_000_000


class Throughput:
    """The rounds that were done by a time, in ns of the target's clock; up to now."""

    def __init__(self, target: Process) -> None:
        self._rows = [tuple(map(int, line.split()[1:])) for line in target.out if line.startswith("at ")]
        self._times = [time for time, _ in self._rows]

    @property
    def last(self) -> int:
        return self._times[-1]

    def done_by(self, time: int) -> float:
        """Between two reports, the share of what was done between them."""
        at = min(max(bisect_left(self._times, time), 1), len(self._rows) - 1)
        (earlier, before), (later, after) = self._rows[at - 1], self._rows[at]
        return before + (after - before) * (time - earlier) / (later - earlier)

    def between(self, since: int, until: int) -> float:
        return self.done_by(until) - self.done_by(since)

    def least(self, since: int, until: int, seconds: int) -> float:
        """The least that was done in so many seconds on end between these times."""
        span = seconds * SECOND_NS
        starts = [since, *(time for time in self._times if since < time <= until - span), until - span]
        return min(self.between(start, start + span) for start in starts)

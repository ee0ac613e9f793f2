"""Reports of tests/targets/Mill.java: the work that it has done, in rounds, and the CPU time used."""

from __future__ import annotations

from bisect import bisect_left

from conditions import DEADLINE_SECONDS, wait_until
from java_target import Process

SECOND_NS = 1_000_000_000
WINDOW_SECONDS = 5
# Columns of a row.
_ROUNDS, _CPU = 1, 2


class Throughput:
    """Rounds and CPU time at each report so far. All times in ns, of the target's clock."""

    def __init__(self, target: Process) -> None:
        self.rows = [tuple(map(int, line.split()[1:])) for line in target.out if line.startswith("at ")]
        self._times = [row[0] for row in self.rows]

    @property
    def last(self) -> int:
        return self._times[-1]

    def rounds(self, since: int, until: int) -> float:
        return self._by(until, _ROUNDS) - self._by(since, _ROUNDS)

    def cpu_ns(self, since: int, until: int) -> float:
        """Returns the CPU time that all threads of the process used."""
        return self._by(until, _CPU) - self._by(since, _CPU)

    def spans(self, since: int, until: int, seconds: float) -> list[tuple[int, int]]:
        """Returns all intervals of that length between the two times, from report to report."""
        span = round(seconds * SECOND_NS)
        starts = [time for time in self._times if since < time <= until - span]
        return [(start, start + span) for start in (since, *starts, until - span)]

    def least_share(self, calm: tuple[int, int], since: int, until: int) -> float:
        """Returns the least work done in any five seconds between these times, as a share of the calm rate.
        Both are per CPU time, because a process on a shared machine does not always get the same.
        """
        usual = self.rounds(*calm) / self.cpu_ns(*calm)
        spans = self.spans(since, until, WINDOW_SECONDS)
        return min(self.rounds(*span) / self.cpu_ns(*span) for span in spans) / usual

    def _by(self, time: int, column: int) -> float:
        """Interpolates a column linearly between the two reports around a time."""
        at = min(max(bisect_left(self._times, time), 1), len(self.rows) - 1)
        earlier, later = self.rows[at - 1], self.rows[at]
        part = (time - earlier[0]) / (later[0] - earlier[0])
        return earlier[column] + (later[column] - earlier[column]) * part


def work(target: Process, seconds: float) -> tuple[int, int]:
    """Lets it work for that long; returns the start and the end, of its own clock."""
    wait_until(lambda: len(Throughput(target).rows) > 1, "its reports")
    since = Throughput(target).last
    wait_until(
        lambda: Throughput(target).last >= since + seconds * SECOND_NS,
        f"{seconds:g} s of work",
        DEADLINE_SECONDS + seconds,
    )
    return since, Throughput(target).last

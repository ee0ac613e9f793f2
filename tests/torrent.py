"""Reports of tests/targets/Torrent.java: the CPU time that its threads have lost to probes."""

from __future__ import annotations

import statistics

from java_target import Process

SECOND_NS = 1_000_000_000
WINDOW_SECONDS = 5
# Number of lines, each covering 0.1 s, that are evaluated together.
_STEP = 5


class Reports:
    """Rows so far: the time and the CPU time of all threads, both in ns, and the calls of both methods."""

    def __init__(self, target: Process) -> None:
        self.rows = [tuple(map(int, line.split()[1:])) for line in target.out if line.startswith("at ")]

    def call_ns(self, until: int) -> float:
        """Returns the CPU time per call in ns, before that time."""
        rows = [row for row in self.rows if row[0] < until]
        return statistics.median(
            (later[1] - row[1]) / (later[2] - row[2])
            for row, later in zip(rows, rows[_STEP:], strict=False)
            if later[2] > row[2]
        )

    def lost_ns(self, since: int, until: int) -> float:
        """Returns the CPU time between two times beyond that of the calls, each taken to cost `call_ns`."""
        rows = [row for row in self.rows if since <= row[0] <= until]
        return rows[-1][1] - rows[0][1] - (rows[-1][2] - rows[0][2]) * self.call_ns(since)

    def most_lost_ns(self, since: int) -> float:
        """Returns the most CPU time lost in any five seconds after that time."""
        call_ns = self.call_ns(since)
        after = [row for row in self.rows if row[0] >= since]
        lost = [0.0]
        for i, row in enumerate(after):
            for later in after[i + 1 :]:
                if later[0] - row[0] > WINDOW_SECONDS * SECOND_NS:
                    break
                lost.append(later[1] - row[1] - (later[2] - row[2]) * call_ns)
        return max(lost)

"""What tests/targets/Torrent.java reports: how much CPU time its threads have lost to probes."""

from __future__ import annotations

import statistics

from java_target import Process

SECOND_NS = 1_000_000_000
WINDOW_SECONDS = 5
# Lines, of a tenth of a second each, that are looked at together.
_STEP = 5


class Reports:
    """Rows of the time, the CPU time of all threads, both in ns, and the calls of both methods; up to now."""

    def __init__(self, target: Process) -> None:
        self.rows = [tuple(map(int, line.split()[1:])) for line in target.out if line.startswith("at ")]

    def call_ns(self, until: int) -> float:
        """What a call takes, in ns of CPU, before that time."""
        rows = [row for row in self.rows if row[0] < until]
        return statistics.median(
            (later[1] - row[1]) / (later[2] - row[2])
            for row, later in zip(rows, rows[_STEP:], strict=False)
            if later[2] > row[2]
        )

    def lost_ns(self, since: int, until: int) -> float:
        """The CPU time between two times beyond what the calls take that `call_ns` says."""
        rows = [row for row in self.rows if since <= row[0] <= until]
        return rows[-1][1] - rows[0][1] - (rows[-1][2] - rows[0][2]) * self.call_ns(since)

    def most_lost_ns(self, since: int) -> float:
        """The most that was lost in any five seconds after that time."""
        call_ns = self.call_ns(since)
        after = [row for row in self.rows if row[0] >= since]
        lost = [0.0]
        for i, row in enumerate(after):
            for later in after[i + 1 :]:
                if later[0] - row[0] > WINDOW_SECONDS * SECOND_NS:
                    break
                lost.append(later[1] - row[1] - (later[2] - row[2]) * call_ns)
        return max(lost)

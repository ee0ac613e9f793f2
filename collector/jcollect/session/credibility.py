"""Rejects impossible counts of suppressed calls: a process can write anything to its memory."""

from __future__ import annotations

import os
import time

import numpy as np
import numpy.typing as npt

# Calls that one CPU can make in a second; the fastest measured are a fifth of that.
MOST_CALLS_PER_SECOND = 1_000_000_000
# Maximum delay of a count: an agent adds the time of an unwoven method only when it gets to that method.
_DELAY_SECONDS = 60.0
# Sums of counts below this limit stay far below 2**64.
_MOST = 1 << 62

_U64 = npt.NDArray[np.uint64]


class Credibility:
    """The credibility of one process, until its first impossible count. For one thread at a time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._calls = 0.0
        self.is_credible = True

    def accepts(self, more_calls: float, longest_ns: int) -> bool:
        """Adds that many suppressed calls, and the longest time that one method was throttled. Returns false
        from the first impossible count on."""
        seconds = time.monotonic() - self._begun + _DELAY_SECONDS
        self._calls += more_calls
        self.is_credible = (
            self.is_credible
            and more_calls >= 0
            and self._calls <= min(seconds * MOST_CALLS_PER_SECOND * cpus(), _MOST)
            and longest_ns <= min(seconds * 1e9, _MOST)
        )
        return self.is_credible


class CheckedCounts:
    """Counts of suppressed calls of some probes since they were first armed: rows as in live.Suppressed."""

    def __init__(self, probes: int, credibility: Credibility) -> None:
        self._credibility = credibility
        self.counts: _U64 = np.zeros((probes, 3), np.uint64)

    def accept(self, counts: _U64) -> None:
        """Accepts the current counts, unless the process has ever had an impossible one."""
        if not self._credibility.is_credible or not len(counts):
            return
        # Counts never fall. A count that has fallen is a very large number here.
        more = counts[:, :2] - self.counts[:, :2]
        fell = bool((counts < self.counts).any())
        calls = -1.0 if fell else float(more.sum(dtype=np.float64))
        if self._credibility.accepts(calls, int(counts[:, 2].max())):
            self.counts = counts


def cpus() -> int:
    """Returns the number of online CPUs, at least 1."""
    return os.cpu_count() or 1

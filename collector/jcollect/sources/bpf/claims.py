"""Checks the counts of held back calls that a process claims, as far as they can be checked.

The counts lie in the process's memory, where it can write anything.
"""

from __future__ import annotations

import os
import time

import numpy as np
import numpy.typing as npt

# Calls that one CPU can make in a second; the fastest measured are a fifth of that.
MOST_CALLS_PER_SECOND = 1_000_000_000
# Maximum delay of a claim: an agent counts the time of an unwoven method only when it gets to that method.
_LATE_SECONDS = 60.0
# Sums of counts below this limit stay far below 2**64.
_MOST = 1 << 62

_U64 = npt.NDArray[np.uint64]


class Claimant:
    """A process, and whether everything that it has claimed so far can be true. For one thread at a time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._calls = 0.0
        self.is_credible = True

    def admits(self, more_calls: float, longest_ns: int) -> bool:
        """Adds that many held back calls, and the longest time that one method was throttled; returns false
        from the first impossible claim on."""
        seconds = time.monotonic() - self._begun + _LATE_SECONDS
        self._calls += more_calls
        self.is_credible = (
            self.is_credible
            and more_calls >= 0
            and self._calls <= min(seconds * MOST_CALLS_PER_SECOND * cpus(), _MOST)
            and longest_ns <= min(seconds * 1e9, _MOST)
        )
        return self.is_credible


class Claims:
    """Claims about some probes of a process since they were first attached to: rows as in live.Suppressed."""

    def __init__(self, probes: int, claimant: Claimant) -> None:
        self._claimant = claimant
        self.counts: _U64 = np.zeros((probes, 3), np.uint64)

    def take(self, counts: _U64) -> None:
        """Takes the current counts. After an impossible claim it ignores all further ones."""
        if not self._claimant.is_credible or not len(counts):
            return
        # Counts never fall. A count that has fallen is a very large number here.
        more = counts[:, :2] - self.counts[:, :2]
        fell = bool((counts < self.counts).any())
        calls = -1.0 if fell else float(more.sum(dtype=np.float64))
        if self._claimant.admits(calls, int(counts[:, 2].max())):
            self.counts = counts


def cpus() -> int:
    """Returns the number of online CPUs, at least 1."""
    return os.cpu_count() or 1

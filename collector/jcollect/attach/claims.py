"""What a process claims to have held back, as far as that can be true.

The counts lie in its memory, where it can write what it likes.
"""

from __future__ import annotations

import os
import time

import numpy as np
import numpy.typing as npt

# Calls that one CPU can make in a second; the fastest measured are a fifth of that.
MOST_CALLS_PER_SECOND = 1_000_000_000
# What may be told late: a method that is unwoven is told of when its agent gets to it.
_LATE_SECONDS = 60.0
# No count comes near to 2**64 by that, whatever is added up.
_MOST = 1 << 62

_U64 = npt.NDArray[np.uint64]


class Claimant:
    """A process, and whether all that it has claimed by now can be true. For one thread at a time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._calls = 0.0
        self.is_credible = True

    def admits(self, more_calls: float, longest_ns: int) -> bool:
        """Takes note that so many more calls were held back, and a method for so long at most; returns false
        as soon as anything was impossible."""
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
    """Of some of its probes, since they were first attached to: rows as live.Held has them."""

    def __init__(self, probes: int, claimant: Claimant) -> None:
        self._claimant = claimant
        self.counts: _U64 = np.zeros((probes, 3), np.uint64)

    def take(self, counts: _U64) -> None:
        """What it claims by now. Once it has claimed what is impossible, nothing is taken any more."""
        if not self._claimant.is_credible or not len(counts):
            return
        # No count ever falls. What has fallen is a very large number here.
        more = counts[:, :2] - self.counts[:, :2]
        fell = bool((counts < self.counts).any())
        calls = -1.0 if fell else float(more.sum(dtype=np.float64))
        if self._claimant.admits(calls, int(counts[:, 2].max())):
            self.counts = counts


def cpus() -> int:
    """How many are online, at least 1."""
    return os.cpu_count() or 1

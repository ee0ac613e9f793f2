"""The time of calls without that of the calls below them that are traced as well: sums of it count no time
twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jcollect.sources.columns import U64, Columns

# Calls of one thread that may still turn out to be below another one, and threads.
_MOST_CALLS = 4096
_MOST_THREADS = 65536


class SelfTimes:
    """Takes calls in the order in which they end: those below a call come before it."""

    def __init__(self) -> None:
        # Begin and duration of the outermost calls that have ended, by process and Java thread.
        self._ended: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def of(self, columns: Columns, events: npt.NDArray[np.int64], pids: list[int]) -> U64:
        """Returns the own time of each of these events of a batch in ns. `pids` are those of the events."""
        durations = columns.duration_nanos[events]
        starts = columns.with_starts().start_unix_nanos[events]
        begins = np.where(starts > 0, starts, columns.time_unix_nanos[events] - durations)
        threads = columns.thread if len(columns.thread) else columns.tid
        own = [
            self._own(key, begin, duration)
            for key, begin, duration in zip(
                zip(pids, threads[events].tolist(), strict=True),
                begins.tolist(),
                durations.tolist(),
                strict=True,
            )
        ]
        return np.array(own, np.uint64)

    def _own(self, key: tuple[int, int], begin: int, duration: int) -> int:
        if key not in self._ended and len(self._ended) >= _MOST_THREADS:
            self._ended.clear()
        ended = self._ended.setdefault(key, [])
        below = 0
        while ended and ended[-1][0] >= begin:
            below += ended.pop()[1]
        ended.append((begin, duration))
        if len(ended) > _MOST_CALLS:
            del ended[: _MOST_CALLS // 2]
        return max(0, duration - below)

"""Divides batches of a recording: by time, to replay them at their pace, and by size, for messages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jcollect.sources.columns import MOST_BYTES, Batch


def pieces(batch: Batch, nanos: int | None) -> Iterator[Batch]:
    """Yields the events in pieces that fit a message, none of which lasts longer than `nanos`, if given."""
    count = len(batch)
    parts, ends = batch.ends(), np.cumsum(batch.sizes)
    # An event may have an earlier time than the one before.
    times = np.maximum.accumulate(batch.columns.time_unix_nanos)
    first = 0
    while first < count:
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + MOST_BYTES, side="right"))
        if nanos is not None:
            until = np.uint64(min(int(times[first]) + nanos, (1 << 64) - 1))
            last = min(last, int(np.searchsorted(times, until, side="right")))
        last = max(last, first + 1)
        yield batch.part(first, last, parts)
        first = last

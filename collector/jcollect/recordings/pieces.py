"""Divides batches of a recording: by time, to replay them at their pace, and by size, for messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from jcollect.sources.columns import MOST_BYTES, Batch


def pieces(batch: Batch, nanos: int | None) -> Iterator[Batch]:
    """Yields the events in pieces that fit a message, none of which lasts longer than `nanos`, if given."""
    count = len(batch)
    value_ends = np.cumsum(batch.value_counts, dtype=np.int64)
    text_ends = np.cumsum(batch.text_sizes, dtype=np.int64)
    ends = np.cumsum(batch.sizes)
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
        yield _part(batch, first, last, value_ends, text_ends)
        first = last


def _part(
    batch: Batch,
    first: int,
    last: int,
    value_ends: np.typing.NDArray[np.int64],
    text_ends: np.typing.NDArray[np.int64],
) -> Batch:
    if not first and last == len(batch):
        return batch
    c = batch.columns
    values = slice(int(value_ends[first - 1]) if first else 0, int(value_ends[last - 1]))
    text = slice(int(text_ends[first - 1]) if first else 0, int(text_ends[last - 1]))
    own = slice(first, last)
    return Batch(
        replace(
            c,
            seq=c.seq[own],
            time_unix_nanos=c.time_unix_nanos[own],
            probe=c.probe[own],
            tid=c.tid[own],
            thread=c.thread[own],
            duration_nanos=c.duration_nanos[own],
            values=c.values[values],
            text=c.text[text],
        ),
        batch.value_counts[own],
        batch.text_sizes[own],
    )

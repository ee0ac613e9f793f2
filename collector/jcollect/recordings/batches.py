"""Events as bytes that compress well: one column after the other (recordings/numbers.py)."""

from __future__ import annotations

import struct

import numpy as np

from jcollect.errors import MalformedStreamError
from jcollect.recordings.additions import (
    HAS_EXPLANATION,
    HAS_STARTS,
    additions_of,
    decode_explanation,
    decode_starts,
    encode_additions,
)
from jcollect.recordings.numbers import DIFFERENCE, LEAST, NumberReader, encode_numbers
from jcollect.recordings.shapes import MOST_VALUES, Shapes
from jcollect.sources.columns import U32, Batch, Columns

# Maximum number of events of a frame, four times that of the recorder.
MOST_EVENTS = 1 << 17
_HEAD = struct.Struct("<III")


def encode_batch(columns: Columns, value_counts: U32) -> bytes:
    """Returns the events as bytes. `value_counts` has the number of values of each event."""
    c = columns
    parts = [
        _HEAD.pack(len(c) | additions_of(c), len(c.values), len(c.text)),
        encode_numbers(c.seq, DIFFERENCE),
        encode_numbers(c.time_unix_nanos, DIFFERENCE),
        encode_numbers(c.probe, LEAST),
        encode_numbers(c.tid, LEAST),
        encode_numbers(c.thread, LEAST),
        encode_numbers(c.duration_nanos, LEAST),
    ]
    starts = np.cumsum(value_counts, dtype=np.int64) - value_counts
    # Values with the same index, of events with the same number of them, resemble each other.
    for count in _numbers_of_values(value_counts):
        own = starts[value_counts == count]
        parts += [encode_numbers(c.values[own + index], LEAST) for index in range(count)]
    return b"".join([*parts, *encode_additions(c), c.text])


def decode_batch(content: bytes, shapes: Shapes) -> Batch:
    """Returns the events. Raises MalformedStreamError for bytes that `encode_batch` does not write."""
    reader = NumberReader(content)
    flags, value_count, text_size = reader.unpack(_HEAD)
    count = flags & ~(HAS_STARTS | HAS_EXPLANATION)
    if count > MOST_EVENTS or value_count > MOST_VALUES * count:
        raise MalformedStreamError(f"a batch has {count:,} events with {value_count:,} values")
    seq, time = reader.column(count), reader.column(count)
    probe, tid = reader.column(count), reader.column(count)
    thread, duration = reader.column(count), reader.column(count)
    if count and max(int(probe.max()), int(tid.max())) >> 32:
        raise MalformedStreamError("a number has more than 32 bits")
    ids = probe.astype(np.uint32)
    value_counts = shapes.value_counts(ids)
    if int(value_counts.sum()) != value_count:
        raise MalformedStreamError("a batch has more or fewer values than its events")
    values = np.zeros(value_count, np.uint64)
    firsts = np.cumsum(value_counts, dtype=np.int64) - value_counts
    for number in _numbers_of_values(value_counts):
        own = firsts[value_counts == number]
        for index in range(number):
            values[own + index] = reader.column(len(own))
    starts = decode_starts(reader, time, duration) if flags & HAS_STARTS else np.zeros(0, np.uint64)
    explanation = decode_explanation(reader, count) if flags & HAS_EXPLANATION else None
    text = reader.rest()
    if len(text) != text_size:
        raise MalformedStreamError("a batch has more or less text than it states")
    columns = Columns(
        seq, time, ids, tid.astype(np.uint32), thread, duration, values, text, starts, explanation
    )
    return shapes.batch(columns, value_counts)


def _numbers_of_values(value_counts: U32) -> list[int]:
    """Returns the different numbers of values above 0, in ascending order."""
    if not len(value_counts):
        return []
    return [number for number in np.flatnonzero(np.bincount(value_counts)).tolist() if number]

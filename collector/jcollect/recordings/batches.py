"""Events as bytes that compress well: each column is reduced to small numbers, whose bytes are then sorted by
significance.

At a million events per second, times grow by about a microsecond, and thread IDs and durations are close to
each other. A column is therefore stored as differences from its least element, or from the element before,
in as few bytes as the largest difference needs. Shuffling puts the bytes of equal significance side by side,
of which zstd (recordings/frames.py) makes almost nothing if they hardly vary.
"""

from __future__ import annotations

import struct

import numpy as np

from jcollect.errors import MalformedStreamError
from jcollect.recordings.shapes import MOST_VALUES, Shapes
from jcollect.sources.columns import U32, U64, Batch, Columns

# Maximum number of events of a frame, four times that of the recorder.
MOST_EVENTS = 1 << 17
_HEAD = struct.Struct("<III")
# How to restore it, bytes per element, least element or difference, and first element.
_COLUMN = struct.Struct("<BBQQ")
_LEAST, _DIFFERENCE = 0, 1
_WIDTHS = (0, 1, 2, 4, 8)


def encode_batch(columns: Columns, value_counts: U32) -> bytes:
    """Returns the events as bytes. `value_counts` has the number of values of each event."""
    c = columns
    parts = [
        _HEAD.pack(len(c), len(c.values), len(c.text)),
        _encode(c.seq, _DIFFERENCE),
        _encode(c.time_unix_nanos, _DIFFERENCE),
        _encode(c.probe, _LEAST),
        _encode(c.tid, _LEAST),
        _encode(c.thread, _LEAST),
        _encode(c.duration_nanos, _LEAST),
    ]
    starts = np.cumsum(value_counts, dtype=np.int64) - value_counts
    # Values with the same index, of events with the same number of them, resemble each other.
    for count in _numbers_of_values(value_counts):
        own = starts[value_counts == count]
        parts += [_encode(c.values[own + index], _LEAST) for index in range(count)]
    return b"".join([*parts, c.text])


def decode_batch(content: bytes, shapes: Shapes) -> Batch:
    """Returns the events. Raises MalformedStreamError for bytes that `encode_batch` does not write."""
    reader = _Reader(content)
    count, value_count, text_size = reader.unpack(_HEAD)
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
    starts = np.cumsum(value_counts, dtype=np.int64) - value_counts
    for number in _numbers_of_values(value_counts):
        own = starts[value_counts == number]
        for index in range(number):
            values[own + index] = reader.column(len(own))
    text = reader.rest()
    if len(text) != text_size:
        raise MalformedStreamError("a batch has more or less text than it states")
    columns = Columns(seq, time, ids, tid.astype(np.uint32), thread, duration, values, text)
    return shapes.batch(columns, value_counts)


def _numbers_of_values(value_counts: U32) -> list[int]:
    """Returns the different numbers of values above 0, in ascending order."""
    if not len(value_counts):
        return []
    return [number for number in np.flatnonzero(np.bincount(value_counts)).tolist() if number]


def _encode(column: U64 | U32, how: int) -> bytes:
    if not len(column):
        return b""
    numbers = column.astype(np.uint64, copy=False)
    first = int(numbers[0])
    if how == _DIFFERENCE:
        # Modulo 2^64, so that every column can be restored, those that fall included.
        signed = np.diff(numbers).view(np.int64)
        least = int(signed.min()) & (1 << 64) - 1 if len(signed) else 0
        rest = signed.view(np.uint64) - np.uint64(least)
    else:
        least = int(numbers.min())
        rest = numbers - np.uint64(least)
    largest = int(rest.max()) if len(rest) else 0
    width = next(width for width in _WIDTHS if largest >> 8 * width == 0)
    head = _COLUMN.pack(how, width, least, first)
    if width < 2:
        return head + (rest.astype(np.uint8).tobytes() if width else b"")
    return head + rest.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()


class _Reader:
    """Reads parts of bytes. Raises MalformedStreamError where they end too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self._take(layout.size))

    def rest(self) -> bytes:
        return self._take(len(self._content) - self._at)

    def column(self, count: int) -> U64:
        """Returns the next column, of `count` elements."""
        if not count:
            return np.zeros(0, np.uint64)
        how, width, least, first = self.unpack(_COLUMN)
        if how not in (_LEAST, _DIFFERENCE) or width not in _WIDTHS:
            raise MalformedStreamError("a column has an unknown form")
        stored = count - (how == _DIFFERENCE)
        if width:
            shuffled = np.frombuffer(self._take(width * stored), np.uint8).reshape(width, stored)
            rest = np.ascontiguousarray(shuffled.T).view(f"<u{width}").reshape(-1).astype(np.uint64)
        else:
            rest = np.zeros(stored, np.uint64)
        rest += np.uint64(least)
        if how == _LEAST:
            return rest
        return np.cumsum(np.concatenate([np.array([first], np.uint64), rest]), dtype=np.uint64)

    def _take(self, size: int) -> bytes:
        part = self._content[self._at : self._at + size]
        if len(part) < size:
            raise MalformedStreamError("a batch ends too early")
        self._at += size
        return part

"""The parts of a recorded batch that earlier recordings lack: the starts of calls, and explanations."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import MalformedStreamError
from jcollect.recordings.numbers import LEAST, NumberReader, encode_numbers
from jcollect.sources.columns import U64, Columns
from jcollect.sources.explanation import COLUMNS, MOST_NAME_LENGTH, MOST_NAMES, NAMED, Explanation

# Bits of the number of events that say which additions follow the values.
HAS_STARTS, HAS_EXPLANATION = 1 << 31, 1 << 30
_ONE = np.uint64(1)
# The columns as a bit set, in the order of COLUMNS, and the bytes of the names.
_HEAD = struct.Struct("<II")


def additions_of(columns: Columns) -> int:
    """Returns the bits of the additions that a batch has."""
    starts = HAS_STARTS if len(columns.start_unix_nanos) else 0
    return starts | (HAS_EXPLANATION if columns.explanation is not None else 0)


def encode_additions(columns: Columns) -> list[bytes]:
    """Returns the additions of a batch as bytes."""
    parts = []
    if len(columns.start_unix_nanos):
        parts.append(encode_numbers(_delays(columns), LEAST))
    if columns.explanation is not None:
        parts += _encode_explanation(columns.explanation)
    return parts


def decode_starts(reader: NumberReader, time: U64, duration: U64) -> U64:
    """Returns the starts of calls. Raises MalformedStreamError."""
    stored = reader.column(len(time))
    zigzag = stored - _ONE
    late = (zigzag >> _ONE) ^ (np.uint64(0) - (zigzag & _ONE))
    return np.where(stored == 0, np.uint64(0), time - duration - late)


def _delays(columns: Columns) -> U64:
    """Returns how long after the end of its call each event was, as small numbers: zigzag plus 1, and 0 where
    no start is known. In the direct lane they are all the same."""
    late = (columns.time_unix_nanos - columns.duration_nanos - columns.start_unix_nanos).view(np.int64)
    zigzag = (late << 1 ^ late >> 63).view(np.uint64)
    return np.where(columns.start_unix_nanos == 0, np.uint64(0), zigzag + _ONE)


def _encode_explanation(explanation: Explanation) -> list[bytes]:
    present = [name for name in COLUMNS if name in explanation.columns]
    mask = sum(1 << bit for bit, name in enumerate(COLUMNS) if name in present)
    names = b"".join(name.encode() + b"\0" for name in explanation.names)
    numbers = (explanation.known, *(explanation.columns[name] for name in present))
    return [_HEAD.pack(mask, len(names)), names, *(encode_numbers(each, LEAST) for each in numbers)]


def decode_explanation(reader: NumberReader, count: int) -> Explanation:
    """Returns the explanation of `count` events. Raises MalformedStreamError."""
    mask, size = reader.unpack(_HEAD)
    if mask >> len(COLUMNS) or size > MOST_NAMES * (MOST_NAME_LENGTH + 1):
        raise MalformedStreamError("an explanation has an unknown column, or names that are too long")
    names = tuple(reader.take(size).decode(errors="replace").split("\0")[:-1])
    known = _narrow(reader.column(count), np.uint32)
    columns = {}
    for bit, (name, of_type) in enumerate(COLUMNS.items()):
        if mask >> bit & 1:
            columns[name] = _narrow(reader.column(count), of_type)
    for name in NAMED:
        if name in columns and count and int(columns[name].max()) > len(names):
            raise MalformedStreamError("an explanation refers to a name that it does not have")
    return Explanation(known, columns, names)


def _narrow(numbers: U64, of_type: type) -> npt.NDArray[Any]:
    if len(numbers) and int(numbers.max()) > np.iinfo(of_type).max:
        raise MalformedStreamError("a number of an explanation has too many bits")
    return numbers.astype(of_type, copy=False)

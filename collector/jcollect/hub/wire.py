"""Converts columns to and from the bytes of a SubscribeResponse with a batch, without an object per event.

A packed field in the protobuf encoding (https://protobuf.dev/programming-guides/encoding) is a tag, a length
and the elements. Elements of type fixed32 and fixed64 are little-endian numbers, so the memory of a numpy
array is the content of the field. The tests compare the result with that of the protobuf library.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.hub.cursor import Cursor
from jcollect.probes.protobuf_fields import encoded_varint, varint
from jcollect.sources.columns import Columns
from jcollect.sources.explanation import MOST_NAMES, Explanation
from jprobe.v1 import collector_pb2

assert sys.byteorder == "little"

_LENGTH_DELIMITED = 2
_BATCH_FIELD = collector_pb2.SubscribeResponse.BATCH_FIELD_NUMBER
_BATCH_TAG = _BATCH_FIELD << 3 | _LENGTH_DELIMITED
_COLUMNS = {
    collector_pb2.EventBatch.SEQ_FIELD_NUMBER: ("seq", "<u8"),
    collector_pb2.EventBatch.TIME_UNIX_NANOS_FIELD_NUMBER: ("time_unix_nanos", "<u8"),
    collector_pb2.EventBatch.PROBE_FIELD_NUMBER: ("probe", "<u4"),
    collector_pb2.EventBatch.TID_FIELD_NUMBER: ("tid", "<u4"),
    collector_pb2.EventBatch.THREAD_FIELD_NUMBER: ("thread", "<u8"),
    collector_pb2.EventBatch.DURATION_NANOS_FIELD_NUMBER: ("duration_nanos", "<u8"),
    collector_pb2.EventBatch.VALUES_FIELD_NUMBER: ("values", "<u8"),
    collector_pb2.EventBatch.START_UNIX_NANOS_FIELD_NUMBER: ("start_unix_nanos", "<u8"),
}
_EXPLANATION_FIELD = collector_pb2.EventBatch.EXPLANATION_FIELD_NUMBER
_EXPLANATION = {
    field.number: (field.name, "<u8" if field.type == field.TYPE_FIXED64 else "<u4")
    for field in collector_pb2.Explanation.DESCRIPTOR.fields
    if field.name != "names"
}
_NAMES_FIELD = collector_pb2.Explanation.NAMES_FIELD_NUMBER
_TEXT_FIELD = collector_pb2.EventBatch.TEXT_FIELD_NUMBER
_CURSOR_TAG = collector_pb2.SubscribeResponse.CURSOR_FIELD_NUMBER << 3 | _LENGTH_DELIMITED
# The fields of a Cursor: fixed64, with a tag of one byte each.
_FIXED64 = 1
_CURSOR_FIELDS = (
    collector_pb2.Cursor.EPOCH_FIELD_NUMBER,
    collector_pb2.Cursor.SEQ_FIELD_NUMBER,
    collector_pb2.Cursor.EVENTS_FIELD_NUMBER,
)
_CURSOR = struct.Struct("<" + "BQ" * len(_CURSOR_FIELDS))
_CURSOR_TAGS = [number << 3 | _FIXED64 for number in _CURSOR_FIELDS]


def encode(columns: Columns, cursor: Cursor | None = None) -> bytes:
    """Returns the bytes of SubscribeResponse(batch=..., cursor=...)."""
    fields: dict[int, bytes | memoryview] = {
        number: _memory(getattr(columns, name), dtype) for number, (name, dtype) in _COLUMNS.items()
    }
    fields[_TEXT_FIELD] = columns.text
    if columns.explanation is not None:
        fields[_EXPLANATION_FIELD] = _encode_explanation(columns.explanation)
    parts, size = _fields(sorted(fields.items()))
    end = encode_cursor(cursor) if cursor is not None else b""
    # The only copy of the columns.
    return b"".join([encoded_varint(_BATCH_TAG), encoded_varint(size), *parts, end])


def _memory(array: npt.NDArray[Any], dtype: str) -> memoryview:
    return np.ascontiguousarray(array, dtype).view(np.uint8).data


def _fields(fields: Iterable[tuple[int, bytes | memoryview]]) -> tuple[list[bytes | memoryview], int]:
    """Returns the pieces of a message with these fields, empty ones left out, and their size."""
    parts: list[bytes | memoryview] = []
    size = 0
    for number, content in fields:
        if content:
            head = encoded_varint(number << 3 | _LENGTH_DELIMITED) + encoded_varint(len(content))
            parts += head, content
            size += len(head) + len(content)
    return parts, size


def _encode_explanation(explanation: Explanation) -> bytes:
    """Returns the bytes of an Explanation."""
    columns = {"known": explanation.known, **explanation.columns}
    fields: list[tuple[int, bytes | memoryview]] = [
        (number, _memory(columns[name], dtype))
        for number, (name, dtype) in _EXPLANATION.items()
        if name in columns
    ]
    names = [(_NAMES_FIELD, name.encode()) for name in explanation.names]
    return b"".join(_fields([*fields, *names])[0])


def encode_cursor(cursor: Cursor) -> bytes:
    """Returns the bytes of the field SubscribeResponse.cursor."""
    head = encoded_varint(_CURSOR_TAG) + encoded_varint(_CURSOR.size)
    pairs = zip(_CURSOR_TAGS, cursor, strict=True)
    return head + _CURSOR.pack(*(number for pair in pairs for number in pair))


def decode_batch(message: bytes) -> Columns | None:
    """Returns the columns of a batch that `encode` wrote, as views of the message; None for any other
    message, such as a batch with elements that are not packed or with a field in several pieces."""
    end = _batch_end(message)
    if end is None:
        return None
    try:
        _, at = varint(message, 1)
        found, _ = _parse(message, at, end)
        inner = found.get(_EXPLANATION_FIELD)
        return Columns(
            **_arrays(found, _COLUMNS),
            text=bytes(found.get(_TEXT_FIELD, b"")),
            explanation=None if inner is None else _decode_explanation(bytes(inner)),
        )
    except (IndexError, ValueError):
        return None


def _parse(message: bytes, at: int, end: int, repeated: int = 0) -> tuple[dict[int, memoryview], list[bytes]]:
    """Returns the fields of a part of a message, and the elements of the repeated one. Raises ValueError or
    IndexError for anything that `encode` does not write."""
    view = memoryview(message)
    found: dict[int, memoryview] = {}
    elements: list[bytes] = []
    while at < end:
        tag, at = varint(message, at)
        number = tag >> 3
        if tag & 7 != _LENGTH_DELIMITED or number in found:
            raise ValueError("not packed, or in several pieces")
        size, at = varint(message, at)
        if at + size > end:
            raise ValueError("beyond the end")
        if number == repeated:
            if len(elements) == MOST_NAMES:
                raise ValueError("too many elements")
            elements.append(message[at : at + size])
        else:
            found[number] = view[at : at + size]
        at += size
    return found, elements


def _arrays(
    found: Mapping[int, memoryview], columns: Mapping[int, tuple[str, str]]
) -> dict[str, npt.NDArray[Any]]:
    return {name: np.frombuffer(found.get(number, b""), dtype) for number, (name, dtype) in columns.items()}


def _decode_explanation(message: bytes) -> Explanation:
    """Returns what `_encode_explanation` has encoded. Raises ValueError or IndexError."""
    found, names = _parse(message, 0, len(message), _NAMES_FIELD)
    columns = _arrays(found, {number: of for number, of in _EXPLANATION.items() if number in found})
    known = columns.pop("known", np.zeros(0, np.uint32))
    return Explanation(known, columns, tuple(name.decode() for name in names))


def decode_cursor(message: bytes) -> Cursor | None:
    """Returns the cursor behind a batch that `encode` wrote; None if there is none, or for any other
    message."""
    end = _batch_end(message)
    if end is None or end == len(message):
        return None
    return Cursor(*_CURSOR.unpack_from(message, len(message) - _CURSOR.size)[1::2])


def _batch_end(message: bytes) -> int | None:
    """Returns the end of the batch with which a message begins; None if anything but a cursor follows."""
    if message[:1] != bytes([_BATCH_TAG]):
        return None
    try:
        size, at = varint(message, 1)
    except (IndexError, ValueError):
        return None
    rest = message[at + size :] if at + size <= len(message) else b"?"
    if not rest:
        return at + size
    head = encoded_varint(_CURSOR_TAG) + encoded_varint(_CURSOR.size)
    if not rest.startswith(head) or len(rest) != len(head) + _CURSOR.size:
        return None
    tags = _CURSOR.unpack_from(rest, len(head))[::2]
    return at + size if list(tags) == _CURSOR_TAGS else None


def columns_of(batch: collector_pb2.EventBatch) -> Columns:
    """Returns the columns of a batch that another encoder wrote."""
    explanation = None
    if batch.HasField("explanation"):
        sent = batch.explanation
        columns = {name: np.array(getattr(sent, name), dtype) for name, dtype in _EXPLANATION.values()}
        known = columns.pop("known")
        present = {name: column for name, column in columns.items() if len(column)}
        explanation = Explanation(known, present, tuple(sent.names[:MOST_NAMES]))
    return Columns(
        **{name: np.array(getattr(batch, name), dtype) for name, dtype in _COLUMNS.values()},
        text=batch.text,
        explanation=explanation,
    )

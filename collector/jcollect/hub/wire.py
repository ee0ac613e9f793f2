"""Converts columns to and from the bytes of a SubscribeResponse with a batch, without an object per event.

A packed field in the protobuf encoding (https://protobuf.dev/programming-guides/encoding) is a tag, a length
and the elements. Elements of type fixed32 and fixed64 are little-endian numbers, so the memory of a numpy
array is the content of the field. The tests compare the result with that of the protobuf library.
"""

from __future__ import annotations

import struct
import sys

import numpy as np

from jcollect.hub.cursor import Cursor
from jcollect.probes.protobuf_fields import encoded_varint, varint
from jcollect.sources.columns import Columns
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
}
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
    parts: list[bytes | memoryview] = []
    size = 0
    fields = [
        (number, np.ascontiguousarray(getattr(columns, name), dtype).view(np.uint8).data)
        for number, (name, dtype) in _COLUMNS.items()
    ]
    for number, content in (*fields, (_TEXT_FIELD, memoryview(columns.text))):
        if content:
            head = encoded_varint(number << 3 | _LENGTH_DELIMITED) + encoded_varint(len(content))
            parts += head, content
            size += len(head) + len(content)
    end = encode_cursor(cursor) if cursor is not None else b""
    # The only copy of the columns.
    return b"".join([encoded_varint(_BATCH_TAG), encoded_varint(size), *parts, end])


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
        view = memoryview(message)
        found: dict[int, memoryview] = {}
        while at < end:
            tag, at = varint(message, at)
            if tag & 7 != _LENGTH_DELIMITED or tag >> 3 in found:
                return None
            size, at = varint(message, at)
            if at + size > end:
                return None
            found[tag >> 3] = view[at : at + size]
            at += size
        return Columns(
            **{
                name: np.frombuffer(found.get(number, b""), dtype)
                for number, (name, dtype) in _COLUMNS.items()
            },
            text=bytes(found.get(_TEXT_FIELD, b"")),
        )
    except (IndexError, ValueError):
        return None


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
    return Columns(
        **{name: np.array(getattr(batch, name), dtype) for name, dtype in _COLUMNS.values()}, text=batch.text
    )

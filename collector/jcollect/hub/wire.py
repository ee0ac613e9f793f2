"""Columns to and from the bytes of a SubscribeResponse with an EventBatch, without objects per event.

A packed field of the protobuf encoding (https://protobuf.dev/programming-guides/encoding) is a tag, a
length and the elements; for fixed32 and fixed64 these are little-endian numbers, so that numpy's memory
is the field as it is. Any protobuf library reads the result; the tests compare.
"""

from __future__ import annotations

import sys

import numpy as np

from jcollect.hub.elements import parse
from jcollect.probes.protobuf_fields import varint
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


def encode(columns: Columns) -> bytes:
    """The bytes of SubscribeResponse(batch=...)."""
    parts: list[bytes | memoryview] = []
    size = 0
    fields = [
        (number, np.ascontiguousarray(getattr(columns, name), dtype).view(np.uint8).data)
        for number, (name, dtype) in _COLUMNS.items()
    ]
    for number, content in (*fields, (_TEXT_FIELD, memoryview(columns.text))):
        if content:
            head = _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content))
            parts += head, content
            size += len(head) + len(content)
    # What is in the columns is copied here and nowhere else.
    return b"".join([_varint(_BATCH_TAG), _varint(size), *parts])


def decode(message: bytes) -> Columns | collector_pb2.SubscribeResponse:
    """The columns, if the message is a batch; else the message itself, parsed.

    Raises google.protobuf.message.DecodeError where it is neither.
    """
    if message[:1] == bytes([_BATCH_TAG]):
        columns = _decode_packed(message)
        if columns is not None:
            return columns
    response = parse(collector_pb2.SubscribeResponse, message)
    return _from_message(response.batch) if response.HasField("batch") else response


def _decode_packed(message: bytes) -> Columns | None:
    """None for what another encoder may write (elements that are not packed, fields in pieces)."""
    try:
        at = 1
        size, at = varint(message, at)
        if at + size != len(message):
            return None
        found: dict[int, bytes] = {}
        while at < len(message):
            tag, at = varint(message, at)
            if tag & 7 != _LENGTH_DELIMITED or tag >> 3 in found:
                return None
            size, at = varint(message, at)
            if at + size > len(message):
                return None
            found[tag >> 3] = message[at : at + size]
            at += size
        return Columns(
            **{
                name: np.frombuffer(found.get(number, b""), dtype)
                for number, (name, dtype) in _COLUMNS.items()
            },
            text=found.get(_TEXT_FIELD, b""),
        )
    except (IndexError, ValueError):
        return None


def _from_message(batch: collector_pb2.EventBatch) -> Columns:
    return Columns(
        **{name: np.array(getattr(batch, name), dtype) for name, dtype in _COLUMNS.values()}, text=batch.text
    )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

"""Counts the parts of a message before it is parsed. Two bytes of an empty submessage become a hundred in
memory, so a message within the size limit could become gigabytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

# The largest collector has a million probes with one value each, of 250 bytes each.
MOST_ELEMENTS = 1 << 21
# A message of this size becomes at most 130 MB in memory.
_HARMLESS_BYTES = 1 << 20
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5

_Parsed = TypeVar("_Parsed", bound=Message)


def parse(kind: type[_Parsed], content: bytes) -> _Parsed:
    """Returns the parsed message. Raises DecodeError if it is malformed or would become gigabytes."""
    if len(content) > _HARMLESS_BYTES:
        _check(content, kind.DESCRIPTOR)
    return kind.FromString(content)


def _check(content: bytes, descriptor: Any) -> None:
    left = MOST_ELEMENTS
    waiting = [(0, len(content), descriptor)]
    try:
        while waiting:
            at, end, kind = waiting.pop()
            inner = _submessages(kind)
            while at < end:
                tag, at = _varint(content, at)
                wire = tag & 7
                if wire == _DELIMITED:
                    size, at = _varint(content, at)
                    if tag >> 3 in inner:
                        left -= 1
                        if left < 0:
                            raise DecodeError(f"it has more than {MOST_ELEMENTS:,} parts")
                        waiting.append((at, at + size, inner[tag >> 3]))
                    at += size
                elif wire == _VARINT:
                    _, at = _varint(content, at)
                elif wire == _FIXED64:
                    at += 8
                elif wire == _FIXED32:
                    at += 4
                else:
                    raise DecodeError("it has a group")
            if at > end:
                raise DecodeError("it is cut off")
    except IndexError:
        raise DecodeError("it is cut off") from None


@lru_cache(maxsize=32)
def _submessages(descriptor: Any) -> dict[int, Any]:
    """Returns the message fields of a message, by number."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}


def _varint(content: bytes, at: int) -> tuple[int, int]:
    byte = content[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise DecodeError("a number is too long")

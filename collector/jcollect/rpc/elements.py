"""Counts the elements of a message before it is parsed. An empty submessage has two bytes and becomes a
hundred in memory, so a message within the size limit could become gigabytes. Numbers and text also multiply,
in the code that reads them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from jcollect.probes.protobuf_fields import FieldsError, varint

# The largest collector has a million probes of 250 bytes with one value each.
MOST_ELEMENTS = 1 << 21
# Maximum of one text field, and of a probe's names and condition together (limits.py).
MOST_NAME_BYTES = 1 << 18
# A message of this size becomes at most 130 MB in memory.
_HARMLESS_BYTES = 1 << 20
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_SIZES = {
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
    FieldDescriptor.TYPE_FLOAT: 4,
}
# The bytes of a varint before the last one.
_CONTINUED = bytes(range(0x80, 0x100))
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)

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
            fields = _fields(kind)
            while at < end:
                tag, at = varint(content, at)
                number, wire = tag >> 3, tag & 7
                if wire == _DELIMITED:
                    size, at = varint(content, at)
                    if number in fields.texts and size > MOST_NAME_BYTES:
                        raise DecodeError(f"it has a name of {size:,} bytes")
                    if number in fields.messages:
                        left -= 1
                        waiting.append((at, at + size, fields.messages[number]))
                    elif number in fields.numbers:
                        left -= _packed(content, at, size, fields.numbers[number])
                    at += size
                else:
                    left -= number in fields.numbers
                    at = _after_number(content, at, wire)
                if left < 0:
                    raise DecodeError(f"it has more than {MOST_ELEMENTS:,} elements")
            if at > end:
                raise DecodeError("it is truncated")
    except IndexError:
        raise DecodeError("it is truncated") from None
    except FieldsError as error:
        raise DecodeError(str(error)) from None


class _Fields(NamedTuple):
    """Fields of a message to count, by field number: the types of submessages, and the size in bytes of one
    element of a repeated number, 0 for varints."""

    messages: dict[int, Any]
    numbers: dict[int, int]
    texts: frozenset[int]


@lru_cache(maxsize=32)
def _fields(descriptor: Any) -> _Fields:
    fields = descriptor.fields
    texts = frozenset(field.number for field in fields if field.type == FieldDescriptor.TYPE_STRING)
    return _Fields(
        {field.number: field.message_type for field in fields if field.message_type is not None},
        {field.number: _SIZES.get(field.type, 0) for field in fields if _is_repeated_number(field)},
        texts,
    )


def _is_repeated_number(field: Any) -> bool:
    # The default value shows in all versions of protobuf that a field is repeated.
    return field.message_type is None and field.type not in _TEXTS and field.default_value == []


def _packed(content: bytes, at: int, size: int, of_each: int) -> int:
    """Returns how many numbers are packed into `size` bytes."""
    if of_each:
        return size // of_each
    # Only the last byte of a varint is below 0x80.
    return len(content[at : at + size].translate(None, _CONTINUED))


def _after_number(content: bytes, at: int, wire: int) -> int:
    if wire == _VARINT:
        return varint(content, at)[1]
    if wire == _FIXED64:
        return at + 8
    if wire == _FIXED32:
        return at + 4
    raise DecodeError("it has a group")

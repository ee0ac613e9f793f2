"""Walks over the fields of a protobuf message before it is decoded.

An element of two bytes becomes up to 70 bytes in memory when it is decoded, and some hundred in a Python
list. So elements are counted before anything that a target has written is decoded.
https://protobuf.dev/programming-guides/encoding/#structure
"""

from __future__ import annotations

VARINT = 0
LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}


class FieldsError(ValueError):
    """The content is not valid protobuf, or has too many fields."""


def check_fields(content: bytes, most: int) -> None:
    """Raises FieldsError if the message itself has more than `most` fields, of all kinds together.

    Fields of nested messages are not counted: as long as none of these repeats anything, their size in bytes
    bounds what they become.
    """
    at, count = 0, 0
    end = len(content)
    try:
        while at < end:
            at = skip_field(content, at)
            count += 1
            if count > most:
                raise FieldsError(f"it has more than {most:,} fields")
    except IndexError:
        raise FieldsError("it is truncated") from None
    if at != end:
        raise FieldsError("it is truncated")


def skip_field(content: bytes, at: int) -> int:
    """Returns where the field after the one at `at` begins. Raises FieldsError, IndexError if it is
    truncated."""
    tag, after = varint(content, at)
    # A tag with redundant bytes would be counted as another field than the one it is decoded as.
    if (tag < 0x80) != (after == at + 1) or tag >> 32:
        raise FieldsError("it has an invalid tag")
    wire_type = tag & 7
    if wire_type == VARINT:
        return varint(content, after)[1]
    if wire_type == LENGTH_DELIMITED:
        size, after = varint(content, after)
        return after + size
    if wire_type in _FIXED:
        return after + _FIXED[wire_type]
    # Groups have been obsolete for ten years.
    raise FieldsError("it has a field of an unknown kind")


def encoded_varint(number: int) -> bytes:
    """Returns the encoding of a number that is not negative."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns the number at `at`, and where the next field begins. Raises FieldsError, IndexError."""
    number = content[at]
    at += 1
    if number < 0x80:
        return number, at
    number &= 0x7F
    for shift in range(7, 70, 7):
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise FieldsError("it has a number that is too long")

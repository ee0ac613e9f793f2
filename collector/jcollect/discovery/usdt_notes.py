"""Parses the section .note.stapsdt: SystemTap's notes, version 3.

Format: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation. By hand and not with
pyelftools, whose general note reader takes 50 times as long: a stub library may hold thousands.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("<III")  # n_namesz, n_descsz, n_type
_ADDRESSES = struct.Struct("<QQQ")  # pc, base, semaphore
_STAPSDT = 3


@dataclass(frozen=True, slots=True)
class Note:
    """One USDT note; addresses are link-time ones, `arguments` as in "-8@%rdi 8@%rsi"."""

    location: int
    semaphore: int
    provider: str
    name: str
    arguments: str


def parse_notes(section: bytes) -> Iterator[Note]:
    """The stapsdt notes of a section, in order. Raises ValueError or struct.error where it is malformed."""
    at, end = 0, len(section)
    while at + _HEADER.size <= end:
        owner_size, size, note_type = _HEADER.unpack_from(section, at)
        owner_at = at + _HEADER.size
        description_at = owner_at + (owner_size + 3 & ~3)
        at = description_at + (size + 3 & ~3)
        if description_at + size > end:
            raise ValueError("a note in .note.stapsdt reaches beyond the section")
        if note_type != _STAPSDT or section[owner_at : owner_at + owner_size] != b"stapsdt\0":
            continue
        location, _, semaphore = _ADDRESSES.unpack_from(section, description_at)
        texts = section[description_at + _ADDRESSES.size : description_at + size].split(b"\0")
        if len(texts) != 4:
            raise ValueError("a note in .note.stapsdt does not hold three texts")
        yield Note(location, semaphore, texts[0].decode(), texts[1].decode(), texts[2].decode())

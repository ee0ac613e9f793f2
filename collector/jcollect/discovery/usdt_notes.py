"""Parses the section .note.stapsdt: SystemTap's notes, version 3.

Format: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from jcollect.discovery.limits import MAX_NAME_BYTES, MAX_PROBES
from jcollect.discovery.malformed import MalformedLibraryError

_HEADER = struct.Struct("<III")  # n_namesz, n_descsz, n_type
# The same, n_name, and the description's pc, base, semaphore.
_STAPSDT_HEADER = struct.Struct("<III8sQQQ")
_OURS = (8, 3, b"stapsdt\0")
_ADDRESSES_BYTES = 24
_MAX_NOTE_BYTES = _ADDRESSES_BYTES + 3 * (MAX_NAME_BYTES + 1)


class Note(NamedTuple):
    """One USDT note; addresses are link-time ones, `arguments` as in "-8@%rdi 8@%rsi"."""

    location: int
    semaphore: int
    provider: str
    name: str
    arguments: str


def parse_notes(section: bytes) -> Iterator[Note]:
    """The stapsdt notes of a section, in order. Raises MalformedLibraryError."""
    at, end, count = 0, len(section), 0
    while at + _HEADER.size <= end:
        count += 1
        if count > MAX_PROBES:
            raise MalformedLibraryError(f".note.stapsdt holds more than {MAX_PROBES:,} notes")
        if at + _STAPSDT_HEADER.size <= end:
            owner_size, size, kind, owner, location, _, semaphore = _STAPSDT_HEADER.unpack_from(section, at)
        else:
            (owner_size, size, kind), owner = _HEADER.unpack_from(section, at), b""
        description_at = at + _HEADER.size + (owner_size + 3 & ~3)
        at = description_at + (size + 3 & ~3)
        if description_at + size > end:
            raise MalformedLibraryError("a note in .note.stapsdt reaches beyond the section")
        if (owner_size, kind, owner) != _OURS:
            continue
        if not _ADDRESSES_BYTES < size <= _MAX_NOTE_BYTES:
            raise MalformedLibraryError(f"a note in .note.stapsdt has {size:,} bytes")
        try:
            texts = section[description_at + _ADDRESSES_BYTES : description_at + size].decode().split("\0")
        except UnicodeDecodeError:
            raise MalformedLibraryError("a name in .note.stapsdt is no UTF-8") from None
        if len(texts) != 4:
            raise MalformedLibraryError("a note in .note.stapsdt does not hold three texts")
        yield Note(location, semaphore, texts[0], texts[1], texts[2])

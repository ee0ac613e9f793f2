"""Parses the section .note.stapsdt: SystemTap's notes, version 3.

Format: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from jcollect.limits import MAX_NAME_BYTES, MAX_PROBES
from jcollect.probes.faults import Faults
from jcollect.probes.malformed import MalformedLibraryError

_HEADER = struct.Struct("<III")  # n_namesz, n_descsz, n_type
# The same, n_name, and the description's pc, base, semaphore.
_STAPSDT_HEADER = struct.Struct("<III8sQQQ")
_OURS = (8, 3, b"stapsdt\0")
_ADDRESSES_BYTES = 24
_MAX_NOTE_BYTES = _ADDRESSES_BYTES + 3 * (MAX_NAME_BYTES + 1)
# Names and arguments that tracers accept: see provider.c, and the description of the format.
_NAME = re.compile(r"[A-Za-z0-9_./@#$+-]+")
_ARGUMENTS = re.compile(r"(?:-?[1248]f?@\S+(?: (?!$)|$))*")


class Note(NamedTuple):
    """One USDT note; addresses are link-time ones, `arguments` as in "-8@%rdi 8@%rsi"."""

    location: int
    semaphore: int
    provider: str
    name: str
    arguments: str


def parse_notes(section: bytes, faults: Faults) -> Iterator[Note]:
    """Yields the stapsdt notes of a section in order, and records notes with malformed texts as faults.
    Raises MalformedLibraryError if the start of the next note is unknown, or if there are too many."""
    known_arguments: dict[str, bool] = {}
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
            faults.add(f"of note {count}", f"the note has {size:,} bytes")
            continue
        content = section[description_at + _ADDRESSES_BYTES : description_at + size]
        texts = content.decode(errors="backslashreplace").split("\0")
        if len(texts) != 4:
            faults.add(f"of note {count}", "the note does not hold three texts")
            continue
        provider, name, arguments, _ = texts
        if not (_NAME.fullmatch(provider) and _NAME.fullmatch(name)):
            faults.add(f"{provider}:{name}", "its name has characters that no tracer accepts")
            continue
        is_known = known_arguments.get(arguments)
        if is_known is None:
            is_known = known_arguments[arguments] = bool(_ARGUMENTS.fullmatch(arguments))
        if not is_known:
            faults.add(f"{provider}:{name}", "its note describes no arguments that a tracer can read")
            continue
        yield Note(location, semaphore, provider, name, arguments)

"""Parses the section headers of untrusted ELF files. Every number is checked before it is used, and the time
does not depend on the values in the headers.

Format: elf(5). Only ELF64, little-endian.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Collection
from dataclasses import dataclass

from jcollect.limits import MAX_SECTION_NAME_BYTES, MAX_SECTIONS
from jcollect.probes.malformed import MalformedLibraryError

# e_ident, e_type, e_shoff, e_shentsize, e_shnum, e_shstrndx
_HEADER = struct.Struct("<16sH22xQ10xHHH")
# sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size
_SECTION = struct.Struct("<IIQQQQ24x")
_MACHINE = struct.Struct("<18xH")
_MACHINES = {"x86_64": 62, "aarch64": 183}
_ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
ET_EXEC = 2
ET_DYN = 3
_SHT_NULL = 0
_SHT_NOBITS = 8


@dataclass(frozen=True)
class SectionHeader:
    """Link-time address, file offset and size in bytes. The whole section is in the file."""

    address: int
    offset: int
    size: int


def read_sections(content: bytes, types: Collection[int] = (ET_DYN,)) -> dict[str, SectionHeader]:
    """Returns the sections that have bytes in the file, by name. `types` are the accepted file types. Raises
    MalformedLibraryError."""
    if len(content) < _HEADER.size or not content.startswith(_ELF64_LITTLE_ENDIAN):
        raise MalformedLibraryError("not a little-endian ELF64 file")
    _, file_type, table, entry_size, count, names_index = _HEADER.unpack_from(content)
    if file_type not in types:
        raise MalformedLibraryError("not a shared library")
    if entry_size != _SECTION.size:
        raise MalformedLibraryError(f"its section headers have {entry_size} bytes each")
    if not 0 < count <= MAX_SECTIONS:
        raise MalformedLibraryError(f"it has {count} sections")
    if table + count * entry_size > len(content):
        raise MalformedLibraryError("its section headers reach beyond the file")
    headers = [_SECTION.unpack_from(content, table + i * entry_size) for i in range(count)]
    if names_index >= count:
        raise MalformedLibraryError("its sections have no names")
    _, _, _, _, names_at, names_size = headers[names_index]
    if names_at + names_size > len(content):
        raise MalformedLibraryError("the names of its sections reach beyond the file")
    names = content[names_at : names_at + min(names_size, MAX_SECTIONS * MAX_SECTION_NAME_BYTES)]
    sections: dict[str, SectionHeader] = {}
    for name_at, kind, _, address, offset, size in headers:
        if kind in (_SHT_NULL, _SHT_NOBITS):
            continue
        name = _name(names, name_at)
        if name in sections:
            raise MalformedLibraryError(f"it has two sections {name!r}")
        if offset + size > len(content):
            raise MalformedLibraryError(f"its section {name!r} reaches beyond the file")
        sections[name] = SectionHeader(address, offset, size)
    return sections


def is_of_this_machine(content: bytes) -> bool:
    """Returns true if the file's code is for this machine's processor: not that of an emulated program."""
    machine: int = _MACHINE.unpack_from(content)[0]
    return machine == _MACHINES.get(platform.machine(), machine)


def _name(names: bytes, at: int) -> str:
    end = names.find(b"\0", at, at + MAX_SECTION_NAME_BYTES)
    if end < 0:
        raise MalformedLibraryError("the name of a section does not end")
    return names[at:end].decode("ascii", errors="backslashreplace")

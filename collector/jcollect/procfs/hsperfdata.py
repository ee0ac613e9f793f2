"""Parses /tmp/hsperfdata_<user>/<pid>, where HotSpot publishes named counters and texts about itself.

Format: PerfDataPrologue and PerfDataEntry in the JDK's src/hotspot/share/runtime/perfMemory.hpp, version 2,
unchanged since JDK 5; tried with 17 and 25. The JVM has the file mapped and writes it at any moment.
-XX:-UsePerfData omits the file, -XX:+PerfDisableSharedMem does not map it.
"""

from __future__ import annotations

import struct

# Usually 32 KiB; -XX:PerfDataMemorySize.
MAX_PERFDATA_BYTES = 1 << 20
# A JVM has about 300.
_MAX_ENTRIES = 1 << 12
_MAX_TEXT_BYTES = 1 << 12

_MAGIC = b"\xca\xfe\xc0\xc0"
_LITTLE_ENDIAN, _MAJOR_VERSION = 1, 2
# byte_order, major_version; entry_offset, num_entries
_PROLOGUE = struct.Struct("<4xBB2x4x4x8xii")
# entry_length, name_offset, vector_length, data_type; data_offset
_ENTRY = struct.Struct("<iiic3xi")
_TEXT = b"B"


def texts_of(content: bytes) -> dict[str, str]:
    """Returns the texts by name ("sun.rt.javaCommand"); none if the content is malformed."""
    texts: dict[str, str] = {}
    if not content.startswith(_MAGIC) or len(content) < _PROLOGUE.size:
        return texts
    byte_order, version, at, count = _PROLOGUE.unpack_from(content)
    if (byte_order, version) != (_LITTLE_ENDIAN, _MAJOR_VERSION):
        return texts
    for _ in range(min(count, _MAX_ENTRIES)):
        if at < 0 or at + _ENTRY.size > len(content):
            break
        length, name_at, size, kind, data_at = _ENTRY.unpack_from(content, at)
        if length < _ENTRY.size:
            break
        if kind == _TEXT and 0 < size <= _MAX_TEXT_BYTES and name_at >= 0 and data_at >= 0:
            name = _text(content, at + name_at, _MAX_TEXT_BYTES)
            texts[name] = _text(content, at + data_at, size)
        at += length
    return texts


def _text(content: bytes, at: int, most: int) -> str:
    return content[at : at + most].split(b"\0", 1)[0].decode(errors="replace")

"""Reads parts of another process's memory, many at once. For functions that run apart."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence

_SIZE = struct.Struct("<q")


def read_memory(pid: int, sections: Sequence[tuple[int, int]]) -> bytes:
    """What lies at these addresses, given with sizes in bytes: see `parts_of`. Raises OSError."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    heads, parts = [], []
    try:
        for address, size in sections:
            try:
                part = os.pread(memory, size, address)
            except OSError as error:
                heads.append(_SIZE.pack(-(error.errno or 0)))
            except OverflowError:
                heads.append(_SIZE.pack(-errno.EFAULT))
            else:
                heads.append(_SIZE.pack(len(part)))
                parts.append(part)
    finally:
        os.close(memory)
    return b"".join(heads + parts)


def parts_of(answer: bytes, count: int) -> list[bytes | OSError]:
    """Each part that `read_memory` has read, or why it could not be."""
    at = count * _SIZE.size
    parts: list[bytes | OSError] = []
    for (size,) in _SIZE.iter_unpack(answer[:at]):
        if size < 0:
            parts.append(OSError(-size, os.strerror(-size)))
        else:
            parts.append(answer[at : at + size])
            at += size
    return parts

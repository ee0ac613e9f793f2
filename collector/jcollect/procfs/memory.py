"""Reads parts of another process's memory, many at once. The functions run apart."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence

_COUNT = struct.Struct("<q")


def read_memory(pid: int, parts: Sequence[tuple[int, int]]) -> bytearray:
    """Returns the content at these addresses, each with its size in bytes, encoded for `parts_of`. Raises
    OSError."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = len(parts) * _COUNT.size
        answer = bytearray(at + sum(size for _, size in parts))
        view = memoryview(answer)
        for number, (address, size) in enumerate(parts):
            _COUNT.pack_into(answer, number * _COUNT.size, _read(memory, address, view[at : at + size]))
            at += size
        return answer
    finally:
        os.close(memory)


def _read(memory: int, address: int, room: memoryview) -> int:
    """Returns the number of bytes read, or a negative errno."""
    try:
        return os.preadv(memory, [room], address) if room else 0
    except OSError as error:
        return -(error.errno or errno.EIO)
    except OverflowError:
        return -errno.EFAULT  # No process has such an address.


def parts_of(answer: bytes, parts: Sequence[tuple[int, int]]) -> list[bytes | OSError]:
    """Returns each part that `read_memory` has read, or the error if it could not be read."""
    at = len(parts) * _COUNT.size
    found: list[bytes | OSError] = []
    for (count,), (_, size) in zip(_COUNT.iter_unpack(answer[:at]), parts, strict=True):
        found.append(answer[at : at + count] if count >= 0 else OSError(-count, os.strerror(-count)))
        at += size
    return found

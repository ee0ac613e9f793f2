"""Reads files that a target may have replaced by something that waits, answers for ever, or acts when it is
opened: what is not a regular file is not opened at all."""

from __future__ import annotations

import errno
import os
import stat

_PIECE_BYTES = 1 << 20


def read_regular(path: str, most: int) -> bytes:
    """The first `most` bytes. Raises OSError, also where there is no regular file."""
    held = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        status = os.fstat(held)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return read_held(held, min(status.st_size, most))
    finally:
        os.close(held)


def read_held(held: int, size: int) -> bytes:
    """Up to `size` bytes of the regular file that an O_PATH descriptor stands for, whatever has become of its
    path. Raises OSError."""
    pieces = []
    file = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        while size > 0 and (piece := os.read(file, min(size, _PIECE_BYTES))):
            pieces.append(piece)
            size -= len(piece)
    finally:
        os.close(file)
    return b"".join(pieces)

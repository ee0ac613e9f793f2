"""Detects stale Unix socket files: their owner was killed and nothing listens on them.

Imports only the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

_SECONDS = 1.0


def is_dead(path: str) -> bool:
    """Returns true if no process listens on a socket. Does not follow a link in the last component.

    Raises OSError if that cannot be determined; ENOTSOCK if the file is not a socket.
    """
    entry = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return is_descriptor_dead(entry)
    finally:
        os.close(entry)


def bound_paths() -> list[str]:
    """Returns the paths to which processes have bound Unix sockets, as they have written them, in this
    network namespace. Needs no permission. Raises OSError."""
    with open("/proc/net/unix", errors="surrogateescape") as file:
        lines = [line.split(maxsplit=7) for line in file]
    return [fields[7].rstrip("\n") for fields in lines[1:] if len(fields) > 7]


def is_descriptor_dead(entry: int) -> bool:
    """Returns the same as `is_dead`, for a file held by an O_PATH descriptor. Its path may have any
    length."""
    if not stat.S_ISSOCK(os.fstat(entry).st_mode):
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
    with socket.socket(socket.AF_UNIX) as probe:
        # A process that is too busy to accept a connection still listens.
        probe.settimeout(_SECONDS)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            try:
                probe.connect(f"/proc/self/fd/{entry}")
            except ConnectionRefusedError:
                return True
    return False

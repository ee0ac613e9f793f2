"""What is left of Unix sockets whose owner was killed: a file that nobody listens at.

Imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

_SECONDS = 1.0


def is_dead(path: str) -> bool:
    """Returns true if nobody listens at a socket any more. Follows no link in the last place.

    Raises OSError where that cannot be told; ENOTSOCK where it is no socket.
    """
    return is_dead_at(None, path)


def is_dead_at(directory: int | None, name: str) -> bool:
    """As is_dead, of a name in a directory that is open."""
    entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        return is_held_dead(entry)
    finally:
        os.close(entry)


def is_held_dead(entry: int) -> bool:
    """As is_dead, of a file that is held by an O_PATH descriptor: by it, the path may be of any length."""
    if not stat.S_ISSOCK(os.fstat(entry).st_mode):
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
    with socket.socket(socket.AF_UNIX) as probe:
        # Who is too busy to take a connection is not dead.
        probe.settimeout(_SECONDS)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            try:
                probe.connect(f"/proc/self/fd/{entry}")
            except ConnectionRefusedError:
                return True
    return False

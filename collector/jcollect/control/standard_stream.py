"""Checks whether a standard stream of another process accepts more output. Runs apart, as that process's
user.

The file may be on any file system, and polling it may take any time. Imports only the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select

STANDARD_ERROR = 2
# pidfd_getfd(2) has this number on every architecture; Linux 5.6 and later.
_PIDFD_GETFD = 438

_libc = ctypes.CDLL(None, use_errno=True)


def is_full(pid: int, number: int) -> bytes:
    """Returns something if a writer would have to wait, nothing otherwise. Raises OSError."""
    descriptor = _borrow(pid, number)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        # An error, such as a closed read end, does not block a writer.
        return b"" if poll.poll(0) else b"1"
    finally:
        os.close(descriptor)


def _borrow(pid: int, descriptor: int) -> int:
    """Returns a descriptor of the same open file. Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        borrowed: int = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
        if borrowed < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return borrowed
    finally:
        os.close(process)

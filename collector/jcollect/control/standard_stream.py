"""Checks whether a standard stream of another process accepts more output. Runs apart, as that process's
user.

The file may be on any file system, and polling it may take any time. Imports only the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Sequence

STANDARD_ERROR = 2
# pidfd_getfd(2) has this number on every architecture; Linux 5.6 and later.
_PIDFD_GETFD = 438

_libc = ctypes.CDLL(None, use_errno=True)


def is_full(number: int, descriptors: Sequence[int]) -> bytes:
    """Returns b"1" if a writer would wait, or nothing. `descriptors` holds a pidfd. Raises OSError."""
    (pidfd,) = descriptors
    descriptor = _borrow(pidfd, number)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        # An error, such as a closed read end, does not block a writer.
        return b"" if poll.poll(0) else b"1"
    finally:
        os.close(descriptor)


def _borrow(pidfd: int, descriptor: int) -> int:
    """Returns a descriptor of the same open file. Raises OSError."""
    borrowed: int = _libc.syscall(_PIDFD_GETFD, pidfd, descriptor, 0)
    if borrowed < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return borrowed

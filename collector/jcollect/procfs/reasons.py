"""Determines from an OSError whether a process has exited, or cannot be read for a reason that will pass."""

from __future__ import annotations

import errno

_GONE = frozenset((errno.ESRCH, errno.ENOENT))
# ETIMEDOUT comes from `apart`; the others are shortages of this process or the machine.
_PASSING = frozenset((errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR))


def is_gone(error: OSError) -> bool:
    """Returns true for the errors that a process's files in /proc give once it has exited."""
    return error.errno in _GONE


def is_passing(error: OSError) -> bool:
    """Returns true if the same attempt may succeed later: the error says nothing about the process."""
    return error.errno in _PASSING

"""Tells by an OSError whether a process is gone, or cannot be read for reasons that will pass."""

from __future__ import annotations

import errno

_GONE = frozenset((errno.ESRCH, errno.ENOENT))
# ETIMEDOUT is `apart`'s; the others are shortages of this process, or of the machine.
_PASSING = frozenset((errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR))


def is_gone(error: OSError) -> bool:
    """Returns true for what the files of a process in /proc say once it has ended."""
    return error.errno in _GONE


def is_passing(error: OSError) -> bool:
    """Returns true where the same attempt may succeed later: the error says nothing of the process."""
    return error.errno in _PASSING

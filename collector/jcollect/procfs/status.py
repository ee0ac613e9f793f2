"""Reads /proc/PID/status, which the kernel answers by itself and at once."""

from __future__ import annotations

import errno
import os

from jcollect.procfs.identity import Identity

_MOST_BYTES = 1 << 13


def effective_user(pid: int) -> Identity:
    """Returns the effective user and group of a process. /proc/PID would not do: root owns it if the process
    may not be dumped. Raises OSError."""
    with open(f"/proc/{pid}/status", "rb", buffering=0) as status:
        content = status.read(_MOST_BYTES)
    try:
        return Identity(_second(content, b"\nUid:"), _second(content, b"\nGid:"))
    except (IndexError, ValueError):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None


def _second(content: bytes, key: bytes) -> int:
    return int(content.partition(key)[2].split(maxsplit=2)[1])

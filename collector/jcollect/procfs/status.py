"""Reads /proc/PID/status, which the kernel answers by itself and at once."""

from __future__ import annotations

import errno
import os

from jcollect.procfs.identity import Identity

_MOST_BYTES = 1 << 13


def effective_user(pid: int) -> Identity:
    """Returns the effective user and group of a process. /proc/PID would not do: root owns it if the process
    may not be dumped. Raises OSError."""
    content = _status(pid)
    return Identity(_numbers(content, b"\nUid:")[1], _numbers(content, b"\nGid:")[1])


def only_user(pid: int) -> Identity:
    """Returns the user and group that a process has in every respect. Raises OSError, PermissionError if it
    has several, as a set-user-ID program has: the user who has started that chooses what it names."""
    content = _status(pid)
    users, groups = _numbers(content, b"\nUid:"), _numbers(content, b"\nGid:")
    if len(set(users)) != 1 or len(set(groups)) != 1:
        raise PermissionError(errno.EPERM, "the process has several users or groups")
    return Identity(users[0], groups[0])


def real_user(pid: int) -> int:
    """Returns the user who has started a process, whatever it has executed since. Raises OSError."""
    return _numbers(_status(pid), b"\nUid:")[0]


def _status(pid: int) -> bytes:
    with open(f"/proc/{pid}/status", "rb", buffering=0) as status:
        return status.read(_MOST_BYTES)


def _numbers(content: bytes, key: bytes) -> list[int]:
    """Returns the real, effective and saved number, and the one for files."""
    words = content.partition(key)[2].split(maxsplit=4)[:4]
    if len(words) < 4:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return [int(word) for word in words]

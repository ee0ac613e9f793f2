"""Touches files in an agent's stub directory. Runs apart, as the user of the agent's process.

Imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import stat

# The first byte of an answer: content follows, or words for what is wrong.
CONTENT, WRONG = b"+", b"-"


def read_private(path: str, most: int) -> bytes:
    """What a regular file has that belongs to this user, and that nobody else may read. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        problem = _what_is_wrong(os.fstat(descriptor), most)
        return WRONG + problem.encode() if problem else CONTENT + file.read(most)


def _what_is_wrong(status: os.stat_result, most: int) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, and the process to user {os.geteuid()}"
    if stat.S_IMODE(status.st_mode) & 0o177:
        return (
            f"its mode is {stat.S_IMODE(status.st_mode):o}, and others may read no more than its owner: 600"
        )
    if status.st_size > most:
        return f"it has {status.st_size} bytes, and an endpoint takes fewer than {most}"
    return ""


def create(path: str) -> bytes:
    """An empty file, if there is none of that name. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return b""


def remove(path: str) -> bytes:
    """A file, if it is there and may be removed."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    return b""


def exists(path: str) -> bytes:
    """Something if a path leads anywhere, nothing otherwise."""
    return b"1" if os.path.exists(path) else b""

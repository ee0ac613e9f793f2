"""Reads, creates and removes files in an agent's stub directory. Runs apart, as the user of the agent's
process.

The directory is given by its path as seen from here. Imports only the standard library and modules that do
the same.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from jcollect.procfs.files import open_seen_directory

# First byte of an answer: the content follows, or a description of what is wrong.
CONTENT, WRONG = b"+", b"-"


def read_private(pid: int, directory: str, name: str, most: int) -> bytes:
    """Returns the content of a regular file that belongs to this user and that no other user may read. Raises
    OSError."""
    with _opened(pid, directory) as folder:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(descriptor, "rb") as file:
        problem = _what_is_wrong(os.fstat(descriptor), most)
        return WRONG + problem.encode() if problem else CONTENT + file.read(most)


def _what_is_wrong(status: os.stat_result, most: int) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, and the process to user {os.geteuid()}"
    if stat.S_IMODE(status.st_mode) & 0o177:
        return f"its mode is {stat.S_IMODE(status.st_mode):o}, and only its owner may have access (600)"
    if status.st_size > most:
        return f"it has {status.st_size} bytes, but at most {most} are allowed"
    return ""


def create(pid: int, directory: str, name: str) -> bytes:
    """Creates an empty file unless the name exists. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _opened(pid, directory) as folder, contextlib.suppress(FileExistsError):
        os.close(os.open(name, flags, 0o600, dir_fd=folder))
    return b""


def remove(pid: int, directory: str, name: str) -> bytes:
    """Removes a file if it exists and may be removed."""
    with contextlib.suppress(OSError), _opened(pid, directory) as folder:
        os.unlink(name, dir_fd=folder)
    return b""


def exists(pid: int, directory: str) -> bytes:
    """Returns b"1" if the directory exists, otherwise an empty answer."""
    try:
        with _opened(pid, directory):
            return b"1"
    except (FileNotFoundError, NotADirectoryError):
        return b""


@contextlib.contextmanager
def _opened(pid: int, directory: str) -> Iterator[int]:
    folder = open_seen_directory(pid, directory)
    try:
        yield folder
    finally:
        os.close(folder)

"""Puts the agent's jar where another process can read it, and removes it. Runs apart, as that process's user.

Each directory is locked (flock) for as long as its jcollect lives: one without a lock was left behind.
Imports only the standard library and modules that do the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import secrets
import stat
import time
from collections.abc import Sequence

from jcollect.procfs.files import open_directory

JAR, REPORT = "jprobe.jar", "report"
_MAX_REPORT_BYTES = 8192
_PREFIX = "jprobe-load-"
# Another attempt is needed only if a sweep removes a directory between its creation and its lock.
_ATTEMPTS = 100
_PIECE_BYTES = 1 << 20
# A directory of other users may hold any number of entries, including names in the format of this module.
_MOST_NAMES = 100_000
_MOST_LEFTOVERS = 100


def deliver(pid: int, inner_pid: int, temporary: str, descriptors: Sequence[int]) -> tuple[bytes, list[int]]:
    """Copies the jar that is given by its descriptor, and creates an empty report.

    Returns the name of their new directory in `temporary`, and descriptors of `temporary` and of the new
    directory, which stays locked for as long as it is open. Raises OSError.
    """
    (jar,) = descriptors
    parent = open_directory(pid, temporary)
    directory, name = _make(parent, f"{_PREFIX}{inner_pid}-")
    try:
        with open(_create(JAR, directory), "wb") as copy:
            _copy(jar, copy.fileno())
        os.close(_create(REPORT, directory))
    except OSError:
        remove(name, [parent, directory])
        raise
    return name.encode(), [parent, directory]


def read_report(descriptors: Sequence[int]) -> bytes:
    """Returns the beginning of a directory's report. Raises OSError."""
    (directory,) = descriptors
    report = os.open(REPORT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(report).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", REPORT)
        return os.read(report, _MAX_REPORT_BYTES)
    finally:
        os.close(report)


def remove(name: str, descriptors: Sequence[int]) -> bytes:
    """Removes a directory and what was put there, and nothing else. The caller holds its lock."""
    parent, directory = descriptors
    # The target's user can put things in the way, but only to the user's own harm.
    with contextlib.suppress(OSError):
        for file in (JAR, REPORT):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file, dir_fd=directory)
        if _is_named(parent, name, directory):
            os.rmdir(name, dir_fd=parent)
    return b""


def sweep(pid: int, directories: Sequence[str], seconds: float) -> bytes:
    """Removes what killed jcollects have left there for this user, as far as the time allows."""
    deadline = time.monotonic() + seconds
    for directory in directories:
        with contextlib.suppress(OSError):
            parent = open_directory(pid, directory)
            try:
                _sweep_directory(parent, deadline)
            finally:
                os.close(parent)
    return b""


def _sweep_directory(parent: int, deadline: float) -> None:
    found = 0
    with os.scandir(parent) as entries:
        for entry in itertools.islice(entries, _MOST_NAMES):
            if found >= _MOST_LEFTOVERS or time.monotonic() > deadline:
                return
            if entry.name.startswith(_PREFIX):
                found += 1
                # Another jcollect may be removing its own directory at this moment.
                with contextlib.suppress(OSError):
                    about = os.stat(entry.name, dir_fd=parent, follow_symlinks=False)
                    if about.st_uid == os.geteuid() and stat.S_ISDIR(about.st_mode):
                        _sweep_one(parent, entry.name)


def _sweep_one(parent: int, name: str) -> None:
    directory = _open(parent, name)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(name, [parent, directory])
    finally:
        os.close(directory)


def _make(parent: int, prefix: str) -> tuple[int, str]:
    """Makes a directory with a new name, locked if its file system has locks. Raises OSError."""
    for _ in range(_ATTEMPTS):
        name = f"{prefix}{secrets.token_hex(8)}"
        os.mkdir(name, 0o700, dir_fd=parent)
        try:
            directory = _open(parent, name)
        except FileNotFoundError:
            continue
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
            raise
        if not _is_locked(directory) and _is_named(parent, name, directory):
            return directory, name
        os.close(directory)
    raise OSError(errno.EAGAIN, "other processes keep removing the new directory")


def _create(name: str, directory: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=directory)


def _copy(source: int, copy: int) -> None:
    at = 0
    # Reads by position, because the caller shares the descriptor's offset.
    while piece := os.pread(source, _PIECE_BYTES, at):
        at += len(piece)
        while piece:
            piece = piece[os.write(copy, piece) :]


def _open(parent: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _is_locked(directory: int) -> bool:
    """Returns true if another process holds the lock; otherwise takes it."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # No sweep can treat it as left behind either, because its file system has no locks.
    return False


def _is_named(parent: int, name: str, directory: int) -> bool:
    try:
        named = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(directory))

"""Opens an output file at a path from the command line. Its directory may be that of another user, who
may have planted files there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from jcollect.rpc.lock_file import NO_LINK, open_directory

_APPENDED = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_TRUNCATED = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
_CREATED = os.O_WRONLY | os.O_CREAT
_KINDS = {stat.S_IFREG: "file", stat.S_IFIFO: "pipe", stat.S_IFLNK: "link"}
# Every attempt except the first follows the removal of the file by another process.
_ATTEMPTS = 100
_READER_SECONDS = 2.0
_POLL_SECONDS = 0.02


def open_to_write(path: str) -> int:
    """Returns a descriptor of an empty file, a device, or a pipe that has a reader. Raises OSError.

    Follows only links that belong to root or this user: a link of another user could make root overwrite any
    file. In a directory that others can write to, a file or pipe must belong to root, this user or the
    directory's owner: another user could read what is written, or let jcollect wait forever for a reader.
    The kernel checks that itself only if fs.protected_symlinks, protected_regular and protected_fifos are
    set, and only in directories such as /tmp.
    """
    folder, name = os.path.split(os.path.abspath(path))
    directory = open_directory(folder, make=False)
    try:
        return _open(directory, name)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(directory)


def open_to_append(path: str) -> int:
    """Returns a descriptor of a regular file of root or this user, which only they can read if it is new.
    Follows no link in its last component. Raises OSError."""
    folder, name = os.path.split(os.path.abspath(path))
    directory = open_directory(folder, make=False)
    try:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileExistsError):
                return os.open(name, _APPENDED | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600, dir_fd=directory)
            try:
                # A pipe would block until it has a reader.
                descriptor = os.open(name, _APPENDED | os.O_NONBLOCK | NO_LINK, dir_fd=directory)
            except FileNotFoundError:
                continue
            about = os.fstat(descriptor)
            if stat.S_ISREG(about.st_mode) and about.st_uid in (0, os.geteuid()) and about.st_nlink == 1:
                return descriptor
            os.close(descriptor)
            raise PermissionError(errno.EPERM, "it is not a regular file of root or this user alone")
        raise BlockingIOError(errno.EAGAIN, "other processes keep replacing it")
    finally:
        os.close(directory)


def _open(directory: int, name: str) -> int:
    for _ in range(_ATTEMPTS):
        try:
            entry = os.open(name, os.O_PATH | NO_LINK, dir_fd=directory)
        except FileNotFoundError:
            try:
                return os.open(name, _CREATED | os.O_EXCL | NO_LINK, 0o666, dir_fd=directory)
            except FileExistsError:
                continue
        try:
            return _reopen(directory, name, entry)
        finally:
            os.close(entry)
    raise BlockingIOError(errno.EAGAIN, "other processes keep replacing it")


def _reopen(directory: int, name: str, entry: int) -> int:
    """Opens a file that exists, by its O_PATH descriptor: its name could be that of another one by now."""
    about = os.fstat(entry)
    parent = os.fstat(directory)
    trusted = {0, os.geteuid()}
    is_link = stat.S_ISLNK(about.st_mode)
    is_shared = parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    planters = trusted if is_link else trusted | {parent.st_uid}
    if about.st_uid not in planters and (is_link or is_shared):
        kind = _KINDS.get(stat.S_IFMT(about.st_mode), "file")
        raise PermissionError(errno.EPERM, f"it is a {kind} of user {about.st_uid}")
    if not is_link:
        return _open_soon(f"/proc/self/fd/{entry}", _TRUNCATED)
    if parent.st_uid in trusted and (not is_shared or parent.st_mode & stat.S_ISVTX):
        # Only trusted users can replace this link.
        return _open_soon(f"/proc/self/fd/{directory}/{name}", _TRUNCATED | os.O_CREAT)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _open_soon(path: str, flags: int) -> int:
    """Opens a file. If it is a pipe without a reader, waits a short time for one, and not forever."""
    deadline = time.monotonic() + _READER_SECONDS
    while True:
        try:
            descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
            os.set_blocking(descriptor, True)
            return descriptor
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "no process reads this pipe; start its reader first") from None
        time.sleep(_POLL_SECONDS)

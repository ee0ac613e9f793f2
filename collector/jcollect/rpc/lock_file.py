"""Lock files and their directories, in which other users may have planted links and files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC

# Every attempt except the first follows the exit of another holder.
_ATTEMPTS = 100
# Limit of the kernel: path_resolution(7).
_MOST_LINKS = 40


def open_directory(path: str, *, make: bool = True) -> int:
    """Returns a descriptor of the directory at an absolute path. If `make`, creates missing directories with
    mode 0700.

    Follows only links that belong to root or this user. The kernel checks that itself only if
    fs.protected_symlinks is set, and only in directories such as /tmp. Raises OSError with the path of the
    component that failed.
    """
    parts = path.split("/")[::-1]
    passed = ""
    links = 0
    directory = _open_root()
    try:
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            passed += f"/{part}"
            try:
                entry = _open_or_make(directory, part) if make else _open_entry(directory, part)
                content = _content_of_link(entry)
            except OSError as error:
                raise OSError(error.errno, error.strerror, passed) from None
            if content is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), passed)
                parts += content.split("/")[::-1]
                if not content.startswith("/"):
                    continue
                entry = _open_root()
            os.close(directory)
            directory = entry
        return directory
    except BaseException:
        os.close(directory)
        raise


def _open_root() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _open_entry(directory: int, name: str) -> int:
    return os.open(name, os.O_PATH | NO_LINK, dir_fd=directory)


def _open_or_make(directory: int, name: str) -> int:
    """Returns a descriptor of an entry, without following it if it is a link. Raises OSError."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return _open_entry(directory, name)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)


def _content_of_link(entry: int) -> str | None:
    """Returns the target of a link; None for a directory. Closes the descriptor of a link. Raises OSError if
    it is neither, or if the link belongs to another user."""
    about = os.fstat(entry)
    if stat.S_ISDIR(about.st_mode):
        return None
    try:
        if not stat.S_ISLNK(about.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if about.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, f"it is a link of user {about.st_uid}")
        return os.readlink("", dir_fd=entry)
    finally:
        os.close(entry)


def take_lock(directory: int, name: str) -> int:
    """Locks a file, which it creates if necessary. Closing the returned descriptor unlocks it.

    Raises OSError with the name of the file; BlockingIOError if another process holds the lock.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | NO_LINK
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        except OSError as error:
            reason = _problem_of(directory, name) or error.strerror
            raise OSError(error.errno, reason, name) from None
        try:
            reason = _problem_of(descriptor)
            if reason:
                raise PermissionError(errno.EPERM, reason, name)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OSError(error.errno, f"it cannot be locked: {error.strerror}", name) from None
            # The previous holder may have removed the file, and another process created a new one.
            with contextlib.suppress(FileNotFoundError):
                if is_named(directory, name, descriptor):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise BlockingIOError(errno.EAGAIN, "other processes keep locking it", name)


def is_named(directory: int, name: str, descriptor: int) -> bool:
    """Returns true if the name in the directory is that of the open file. Raises OSError."""
    named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return os.path.samestat(os.fstat(descriptor), named)


def _problem_of(descriptor: int, name: str = "") -> str:
    """Returns why a file cannot be a lock file; empty if it can. It is open, or has a name in an open
    directory."""
    try:
        about = os.stat(name, dir_fd=descriptor, follow_symlinks=False) if name else os.fstat(descriptor)
    except OSError:
        return ""
    if about.st_uid != os.geteuid():
        return f"it belongs to user {about.st_uid} instead of the user who locks it; remove it"
    if not stat.S_ISREG(about.st_mode):
        return "it is not a regular file; remove it"
    mode = stat.S_IMODE(about.st_mode)
    if mode & 0o077:
        return f"its mode is {mode:o}, so other users could hold its lock; run chmod 600"
    return ""

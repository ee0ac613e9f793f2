"""Lock files, and directories to have them in, where other users may have put links and files in the way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC

# Each attempt but the first follows the end of another holder.
_ATTEMPTS = 100
# As many as the kernel follows: path_resolution(7).
_MOST_LINKS = 40


def open_directory(path: str, *, make: bool = True) -> int:
    """A descriptor of the directory at an absolute path, which is made, for us alone, where it is missing.

    Links are followed if root or we have made them. The kernel does that by itself only where
    fs.protected_symlinks is set, and only in directories such as /tmp. Raises OSError, with the place that
    it is about.
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
    """The entry itself, be it a link. Raises OSError."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return _open_entry(directory, name)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)


def _content_of_link(entry: int) -> str | None:
    """None of a directory; the descriptor of anything else is closed. Raises OSError."""
    about = os.fstat(entry)
    if stat.S_ISDIR(about.st_mode):
        return None
    try:
        if not stat.S_ISLNK(about.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if about.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, f"it is a link that user {about.st_uid} has made")
        return os.readlink("", dir_fd=entry)
    finally:
        os.close(entry)


def take_lock(directory: int, name: str) -> int:
    """The descriptor of a lock file, which is locked until that is closed.

    Raises OSError, with the file's name: BlockingIOError where another holds the lock.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | NO_LINK
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        except OSError as error:
            reason = _what_is_wrong(directory, name) or error.strerror
            raise OSError(error.errno, reason, name) from None
        try:
            reason = _what_is_wrong(descriptor)
            if reason:
                raise PermissionError(errno.EPERM, reason, name)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OSError(error.errno, f"it cannot be locked: {error.strerror}", name) from None
            # The last holder may have removed it, and the next have made another.
            with contextlib.suppress(FileNotFoundError):
                if is_named(directory, name, descriptor):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise BlockingIOError(errno.EAGAIN, "others take it all the time", name)


def is_named(directory: int, name: str, descriptor: int) -> bool:
    """Whether the directory has the open file by that name. Raises OSError."""
    named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return os.path.samestat(os.fstat(descriptor), named)


def _what_is_wrong(place: int, name: str = "") -> str:
    """With a lock file that is open, or that a directory has by this name; empty if nothing is."""
    try:
        about = os.stat(name, dir_fd=place, follow_symlinks=False) if name else os.fstat(place)
    except OSError:
        return ""
    if about.st_uid != os.geteuid():
        return f"it belongs to user {about.st_uid}, and a lock file to whoever locks it; remove it"
    if not stat.S_ISREG(about.st_mode):
        return "it is no regular file, as a lock file is; remove it"
    mode = stat.S_IMODE(about.st_mode)
    if mode & 0o077:
        return f"its mode is {mode:o}, and whoever may open a lock file may hold its lock; chmod 600 it"
    return ""

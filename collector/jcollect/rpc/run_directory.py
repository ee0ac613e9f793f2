"""The directories in which collectors serve by default: /run/jprobe, and $XDG_RUNTIME_DIR/jprobe for users
who may not write there.

Each user has their own second directory. It counts only if no other user can put anything there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile

from jcollect.errors import JcollectError
from jcollect.rpc.lock_file import NO_LINK, open_directory

RUN_DIRECTORY = "/run/jprobe"

_VARIABLE = "XDG_RUNTIME_DIR"
_NAME = "jprobe"
# Room for "/", and for the name of a socket, in the path of an address (rpc/address.py).
_MOST_BYTES = 107 - 24
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class _UnusableError(Exception):
    """A clause: why a directory cannot be used."""


def run_directories() -> list[str]:
    """Returns the directories in which collectors of root and of this user serve by default. They may not
    exist."""
    own = own_directory()
    return [RUN_DIRECTORY] if own is None else [RUN_DIRECTORY, own]


def own_directory() -> str | None:
    """Returns the path of this user's directory; None if it cannot be trusted."""
    try:
        return _own_directory()
    except _UnusableError:
        return None


def directory_to_serve_in() -> str:
    """Returns the directory in which this process serves by default. Raises JcollectError if there is
    none."""
    if may_write_default():
        return RUN_DIRECTORY
    try:
        return _own_directory()
    except _UnusableError as error:
        raise JcollectError(
            f"cannot listen in {RUN_DIRECTORY}: Permission denied, and {error}; other commands find this "
            "collector by its address, and not by PID"
        ) from None


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Returns a new directory of this user alone, to serve in where there is no other."""
    return tempfile.TemporaryDirectory(prefix="jcollect-")


def may_write_default() -> bool:
    """Returns true if this process may create files in the first directory, or the directory itself."""
    existing = RUN_DIRECTORY if os.path.isdir(RUN_DIRECTORY) else os.path.dirname(RUN_DIRECTORY)
    return os.access(existing, os.W_OK | os.X_OK, effective_ids=True)


def open_to_serve(path: str) -> int:
    """Returns a descriptor of the directory of a socket (O_PATH). Creates it if it is one of those here: a
    reboot empties their parents. Raises OSError."""
    if path != own_directory():
        return open_directory(path, make=path == RUN_DIRECTORY)
    parent = open_directory(os.path.dirname(path), make=False)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(_NAME, 0o700, dir_fd=parent)
        return os.open(_NAME, os.O_PATH | os.O_DIRECTORY | NO_LINK, dir_fd=parent)
    finally:
        os.close(parent)


def open_to_read(path: str) -> int:
    """Returns a descriptor of one of the `run_directories`. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | NO_LINK)


def _own_directory() -> str:
    """Raises _UnusableError."""
    parent = os.environ.get(_VARIABLE, "")
    if not parent:
        raise _UnusableError(f"{_VARIABLE} is not set")
    if not parent.startswith("/"):
        raise _UnusableError(f"{_VARIABLE} is no absolute path")
    try:
        descriptor = open_directory(parent, make=False)
        try:
            # Without links: what they point to may change.
            path = os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), _NAME)
        finally:
            os.close(descriptor)
        _check_is_private(path)
    except OSError as error:
        raise _UnusableError(f"{_VARIABLE} cannot be used: {error.strerror}") from None
    if len(os.fsencode(path)) > _MOST_BYTES:
        raise _UnusableError(f"{_VARIABLE} is too long for the path of a socket")
    return path


def _check_is_private(path: str) -> None:
    """Checks that only this user and root can change what the path leads to. Its last component need not
    exist. Raises _UnusableError, and OSError."""
    parent = os.path.dirname(path)
    for each in (path, parent):
        with contextlib.suppress(FileNotFoundError):
            about = os.lstat(each)
            if not stat.S_ISDIR(about.st_mode):
                raise _UnusableError(f"{each} is no directory")
            if about.st_uid != os.geteuid():
                raise _UnusableError(f"{each} belongs to user {about.st_uid}")
            if about.st_mode & _OTHERS_WRITE:
                raise _UnusableError(f"other users can write to {each}")
    while parent != "/":
        parent = os.path.dirname(parent)
        about = os.lstat(parent)
        if about.st_uid not in (0, os.geteuid()):
            raise _UnusableError(f"{parent} belongs to user {about.st_uid}")
        # In a sticky directory such as /tmp, others can neither remove nor rename this user's files.
        if about.st_mode & _OTHERS_WRITE and not about.st_mode & stat.S_ISVTX:
            raise _UnusableError(f"other users can write to {parent}")

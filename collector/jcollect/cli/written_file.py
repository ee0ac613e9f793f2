"""Opens an output file at a path from the command line. Its directory may belong to another user."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from jcollect.rpc.lock_file import NO_LINK, open_directory

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def open_to_write(path: str) -> int:
    """Returns a descriptor of an empty file, a pipe or a device. Raises OSError.

    Follows only links that belong to root or this user: a link of another user could make root overwrite any
    file.
    """
    folder, name = os.path.split(os.path.abspath(path))
    directory = open_directory(folder, make=False)
    try:
        if _is_own_link(directory, name):
            return os.open(f"/proc/self/fd/{directory}/{name}", _FLAGS, 0o666)
        return os.open(name, _FLAGS | NO_LINK, 0o666, dir_fd=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(directory)


def _is_own_link(directory: int, name: str) -> bool:
    """Returns true for a link that only trusted users can replace; raises OSError for one of another user."""
    with contextlib.suppress(FileNotFoundError):
        about = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISLNK(about.st_mode):
            return False
        trusted = (0, os.geteuid())
        if about.st_uid not in trusted:
            raise PermissionError(errno.EPERM, f"it is a link of user {about.st_uid}")
        parent = os.fstat(directory)
        is_shared = parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not parent.st_mode & stat.S_ISVTX
        return parent.st_uid in trusted and not is_shared
    return False

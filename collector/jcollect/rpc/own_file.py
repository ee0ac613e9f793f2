"""Reads files that decide who may do what: certificates, keys, tokens and rights.

A user who could replace such a file could grant themselves rights. So it must belong to root or this user,
and so must every link on its path."""

from __future__ import annotations

import errno
import os
import stat

from jcollect.errors import JcollectError
from jcollect.rpc.lock_file import NO_LINK, open_directory

_MOST_BYTES = 1 << 20
# Limit of the kernel: path_resolution(7).
_MOST_LINKS = 40

Signature = tuple[int, ...] | None


def read_own_file(path: str, what: str, *, is_secret: bool = False) -> bytes:
    """Returns the content of a file; `what` names it in errors, as in "the TLS certificate". Raises
    JcollectError.

    A secret must not be readable by other users. A group may read it if it belongs to root, as keys in
    Debian's /etc/ssl/private do.
    """
    try:
        descriptor = _open(os.path.abspath(path))
        with open(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            problem = _problem(about, is_secret)
            content = b"" if problem else file.read(_MOST_BYTES + 1)
    except OSError as error:
        problem = f"{error.strerror}; check its path and its mode"
    else:
        if len(content) > _MOST_BYTES:
            problem = f"it has more than {_MOST_BYTES:,} bytes; check its path"
    if problem:
        raise JcollectError(f"cannot read {what} {path}: {problem}")
    return content


def signature_of(path: str) -> Signature:
    """Returns what changes whenever the file does; None if there is none."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _open(path: str) -> int:
    """Raises OSError."""
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        directory = open_directory(folder, make=False)
        try:
            entry = os.open(name, os.O_PATH | NO_LINK, dir_fd=directory)
            try:
                about = os.fstat(entry)
                if stat.S_ISREG(about.st_mode):
                    return os.open(f"/proc/self/fd/{entry}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                if not stat.S_ISLNK(about.st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file")
                if about.st_uid not in (0, os.geteuid()):
                    raise PermissionError(errno.EPERM, f"it is a link of user {about.st_uid}")
                target = os.readlink("", dir_fd=entry)
            finally:
                os.close(entry)
            path = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), target)
        finally:
            os.close(directory)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _problem(about: os.stat_result, is_secret: bool) -> str:
    if about.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {about.st_uid}; it must belong to root or to user {os.geteuid()}"
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write to it; run chmod go-w on it"
    readers = stat.S_IROTH | (0 if about.st_uid == 0 else stat.S_IRGRP)
    if is_secret and about.st_mode & readers:
        return "other users can read it, and it is a secret; run chmod 600 on it"
    return ""

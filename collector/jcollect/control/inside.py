"""Opens a directory as another process sees it: in its mount namespace, under its root.

Imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import os

# openat2(2) has this number on every architecture; Linux 5.6 and later.
_OPENAT2 = 437
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_directory(pid: int, path: str) -> int:
    """A descriptor of a directory that the process has at this absolute path. Raises OSError.

    With /proc/PID/root before the path, absolute links of the process would lead into our own root;
    RESOLVE_IN_ROOT keeps them in its own.
    """
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open(root, path, _RESOLVE_IN_ROOT)
    finally:
        os.close(root)


def open_seen_directory(pid: int, path: str) -> int:
    """A descriptor of a directory of the process, by its path as seen from here. Raises OSError.

    The process may put a link in the way, which leads into its own root if anywhere: be it root, it is so in
    its container alone.
    """
    below_root = path.removeprefix(f"/proc/{pid}/root")
    if below_root != path:
        return open_directory(pid, below_root)
    try:
        return _open(_AT_FDCWD, path, _RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return open_directory(pid, path)


def _open(root: int, path: str, resolve: int) -> int:
    how = _OpenHow(flags=os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, resolve=resolve)
    descriptor: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor

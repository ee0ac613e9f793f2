"""Opens a directory as another process sees it: in its mount namespace, under its root."""

from __future__ import annotations

import ctypes
import os

# openat2(2) has this number on every architecture.
_OPENAT2 = 437
_RESOLVE_IN_ROOT = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_directory(pid: int, path: str) -> int:
    """A descriptor of a directory that the process has at this absolute path. Raises OSError.

    With /proc/PID/root before the path, absolute links of the process would lead into our own root;
    RESOLVE_IN_ROOT keeps them in its own. Linux 5.6 and later.
    """
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(flags=os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, resolve=_RESOLVE_IN_ROOT)
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
    finally:
        os.close(root)

"""Opens and reads files of another process as that process sees them. The functions run apart.

Absolute links lead into the process's own root, and relative paths begin in its working directory. Only
regular files are opened: any other file could block, answer forever, or act when it is opened. The caller
decides whose rights apply, by the user that it passes to `apart`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

# openat2(2) has this number on every architecture; Linux 5.6 and later.
_OPENAT2 = 437
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10
_AT_FDCWD = -100
_PIECE_BYTES = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_directory(pid: int, path: str) -> int:
    """Returns a descriptor of a directory that the process has at this path. Raises OSError."""
    return _open_in_root(pid, path, os.O_RDONLY | os.O_DIRECTORY)


def open_seen_directory(pid: int, path: str) -> int:
    """Returns a descriptor of a directory of the process, by its path as seen from here. Raises OSError.

    A link in the path can lead only into the process's own root.
    """
    below_root = path.removeprefix(f"/proc/{pid}/root")
    if below_root != path:
        return open_directory(pid, below_root)
    try:
        return _open(_AT_FDCWD, path, os.O_RDONLY | os.O_DIRECTORY, _RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return open_directory(pid, path)


def read_file(pid: int, path: str, most: int) -> bytes:
    """Returns the first `most` bytes of a regular file that the process has at this path. Raises OSError."""
    descriptor = _open_in_root(pid, path, os.O_PATH)
    try:
        return read_descriptor(descriptor, most)
    finally:
        os.close(descriptor)


def read_descriptor(descriptor: int, most: int) -> bytes:
    """Returns the first `most` bytes of the regular file behind an O_PATH descriptor, whatever its path leads
    to now. Raises OSError."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    left = min(about.st_size, most)
    pieces = []
    file = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        while left > 0 and (piece := os.read(file, min(left, _PIECE_BYTES))):
            pieces.append(piece)
            left -= len(piece)
    finally:
        os.close(file)
    return b"".join(pieces)


def _open_in_root(pid: int, path: str, flags: int) -> int:
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Not by a path below /proc/PID/root: absolute links would lead into this process's own root.
        return _open(root, _from_root(pid, path), flags, _RESOLVE_IN_ROOT)
    finally:
        os.close(root)


def _open(folder: int, path: str, flags: int, resolve: int) -> int:
    how = _OpenHow(flags=flags | os.O_CLOEXEC, resolve=resolve)
    descriptor: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(folder),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor


def _from_root(pid: int, path: str) -> str:
    """Returns the path relative to the process's root. Raises OSError."""
    if "\0" in path:
        raise OSError(errno.EINVAL, "it has a NUL in it", path)
    if path.startswith("/"):
        return path
    # Both are as seen from here; the root of a process in chroot(2) is a directory here.
    root, folder = (os.readlink(f"/proc/{pid}/{name}") for name in ("root", "cwd"))
    if root != "/" and (folder == root or folder.startswith(f"{root}/")):
        folder = folder.removeprefix(root)
    return f"{folder}/{path}"

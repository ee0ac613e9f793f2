"""The file of a recording while it is written: created safely, and grown by whole frames.

Room for the last frames is reserved ahead, so that a recording can be ended even on a full disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat

from jcollect.errors import JcollectError, explain
from jcollect.recordings.frames import HEAD, MAGIC
from jcollect.rpc.lock_file import NO_LINK, open_directory

# The file cannot grow: no space, a quota, or a limit on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Enough for a summary of the hit counts and the end.
_RESERVED_BYTES = 64 << 10
_RESERVE_STEP = 4 << 20
_KEEP_SIZE = 1


class FullError(JcollectError):
    """The file cannot grow."""


class OutputFile:
    """A new file that only its owner can read. `size` is that of its complete frames."""

    def __init__(self, path: str, replaces: bool) -> None:
        """Creates the file. With `replaces`, it may exist if it is a recording. Raises JcollectError."""
        self.path = os.path.abspath(path)
        self.size = 0
        self._reserved = 0
        folder, name = os.path.split(self.path)
        try:
            directory = open_directory(folder, make=False)
        except OSError as error:
            raise explain(error, f"create {path}") from None
        try:
            if replaces:
                _remove_recording(directory, name, path)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | NO_LINK
            self._file = os.open(name, flags, 0o600, dir_fd=directory)
        except FileExistsError:
            raise JcollectError(
                f"cannot create {path}: it exists; give another path, or --force to replace a recording"
            ) from None
        except OSError as error:
            raise explain(error, f"create {path}") from None
        finally:
            os.close(directory)
        try:
            self.append(HEAD)
        except BaseException:
            self.close()
            raise

    def append(self, content: bytes, *, uses_reserve: bool = False) -> None:
        """Appends a frame as a whole, or not at all. With `uses_reserve`, it may use the reserved room.
        Raises FullError if the file cannot grow, otherwise JcollectError."""
        try:
            if not uses_reserve:
                self._reserve(len(content))
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            # Frees what a part of the frame has used.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
            if error.errno in _FULL:
                self._reserved = 0
                with contextlib.suppress(OSError):
                    self._allocate(self.size + _RESERVED_BYTES)
                raise FullError(
                    f"cannot write to {self.path}: {os.strerror(error.errno)}; free some space or give "
                    "another path, or limit the recording with --rotate-size and --keep"
                ) from None
            raise explain(error, f"write to {self.path}") from None
        self.size += len(content)

    def sync(self) -> None:
        """Waits until the content is on the disk. Raises JcollectError."""
        try:
            os.fsync(self._file)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTSUP):
                return
            raise explain(error, f"write to {self.path}") from None

    def close(self) -> None:
        """Closes the file, and returns what was reserved."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self.size)
        os.close(self._file)

    def _reserve(self, size: int) -> None:
        """Reserves room for the last frames beyond the next `size` bytes. Raises OSError."""
        needed = self.size + size + _RESERVED_BYTES
        if needed <= self._reserved:
            return
        try:
            self._allocate(needed + _RESERVE_STEP)
        except OSError as error:
            if error.errno not in _FULL:
                # The file system cannot reserve room.
                self._reserved = 1 << 62
                return
            self._allocate(needed)

    def _allocate(self, end: int) -> None:
        """Allocates the file's blocks up to an offset, and leaves its size. Raises OSError."""
        if _libc.fallocate(self._file, _KEEP_SIZE, self.size, end - self.size):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._reserved = end


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def _remove_recording(directory: int, name: str, path: str) -> None:
    """Removes a file if it is a recording. Raises OSError, and JcollectError if it is another file."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NO_LINK, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or os.read(file, len(MAGIC)) != MAGIC:
            raise JcollectError(f"cannot replace {path}: it is not a recording; give another path")
    finally:
        os.close(file)
    os.unlink(name, dir_fd=directory)

"""The file of a recording while it is written: created safely, and grown by whole frames.

Room for the last frames is reserved ahead, so that a recording can be ended even on a full disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import stat

from jcollect.errors import JcollectError, explain
from jcollect.recordings.frames import HEAD, MAGIC
from jcollect.rpc.lock_file import NO_LINK, open_directory

# The file cannot grow: no space, a quota, or a limit on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Enough for the sums of the hit counts and the end.
RESERVED_BYTES = 64 << 10
_RESERVE_STEP = 4 << 20
_KEEP_SIZE = 1
# The file system cannot reserve room: more than any file has.
_CANNOT_RESERVE = 1 << 62


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
        """Appends frames as a whole, or not at all. With `uses_reserve`, they may use the reserved room; what
        does not fit takes nothing of it. Raises FullError if the file cannot grow, otherwise JcollectError.
        """
        try:
            self._reserve(self.size + len(content) + (0 if uses_reserve else RESERVED_BYTES))
            self._write(content)
        except OSError as error:
            if error.errno in _FULL:
                raise FullError(
                    f"cannot write to {self.path}: {os.strerror(error.errno)}; free some space or give "
                    "another path, or limit the recording with --rotate-size and --keep"
                ) from None
            raise explain(error, f"write to {self.path}") from None
        self.size += len(content)

    def _write(self, content: bytes) -> None:
        """Writes to the end of the file. Raises OSError."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            # Frees what a part of the content has used, and all that was reserved.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
                reserved, self._reserved = self._reserved, 0
                if reserved != _CANNOT_RESERVE:
                    self._allocate(self.size + RESERVED_BYTES)
            raise

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

    def _reserve(self, end: int) -> None:
        """Reserves room up to an offset, and a step more if there is that much. Leaves what is reserved if
        there is not. Raises OSError."""
        # Some file systems reserve room beyond the limit, and then refuse the write.
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if most != resource.RLIM_INFINITY and end > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if end <= self._reserved:
            return
        try:
            self._allocate(end + _RESERVE_STEP)
        except OSError as error:
            if error.errno not in _FULL:
                self._reserved = _CANNOT_RESERVE
                return
            self._allocate(end)

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

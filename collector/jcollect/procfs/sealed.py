"""Opens a sealed memfd of another process by the number of its descriptor. The function runs apart.

Whatever the number stands for: nothing is opened that is no regular file of the kernel's own memory, and the
seals prove that it can neither shrink nor grow.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from jcollect.procfs.kernel_fs import is_in_memory

_FIXED_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_MOST_DESCRIPTORS = 1 << 30


def open_sealed(pid: int, number: int, is_written: bool = False) -> tuple[bytes, list[int]]:
    """Returns a descriptor of the file, to read, and to write if `is_written`. Raises OSError: ESTALE if the
    file is no memfd of fixed size."""
    if not 0 <= number < _MOST_DESCRIPTORS:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    # Opening a FIFO or a device would act on it; O_PATH does not.
    held = os.open(f"/proc/{pid}/fd/{number}", os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode) or not is_in_memory(held):
            raise OSError(errno.ESTALE, "it is no file in memory")
        access = os.O_RDWR if is_written else os.O_RDONLY
        file = os.open(f"/proc/self/fd/{held}", access | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(held)
    try:
        if fcntl.fcntl(file, fcntl.F_GET_SEALS) & _FIXED_SIZE != _FIXED_SIZE:
            raise OSError(errno.ESTALE, "its size is not sealed")
        return b"", [file]
    except BaseException:
        os.close(file)
        raise

"""The output of a conversion: a file that appears under its name once it is complete."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from jcollect.errors import JcollectError, explain
from jcollect.rpc.lock_file import NO_LINK, open_directory


@contextlib.contextmanager
def new_file(path: str, force: bool) -> Iterator[BinaryIO]:
    """Yields a file that only its owner can read. It gets its name at the end of the block, and is removed if
    the block raises. With `force`, it replaces a regular file. Raises JcollectError."""
    check_is_new(path, force)
    folder, name = os.path.split(os.path.abspath(path))
    part = f".{name[:200]}.{os.getpid()}.part"
    try:
        directory = open_directory(folder, make=False)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK
            descriptor = os.open(part, flags, 0o600, dir_fd=directory)
            try:
                with open(descriptor, "wb", buffering=1 << 20) as file:
                    yield file
                if force:
                    os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
                else:
                    # Fails if the name has been taken in the meantime.
                    os.link(part, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise explain(error, f"write {path}") from None


def check_is_new(path: str, force: bool) -> None:
    """Raises JcollectError if there is a file of this name that may not be replaced."""
    try:
        about = os.lstat(path)
    except OSError:
        return
    if not force:
        raise _exists(path)
    if not stat.S_ISREG(about.st_mode):
        raise JcollectError(f"cannot replace {path}: it is not a regular file; give another path")


def _exists(path: str) -> JcollectError:
    return JcollectError(f"cannot write {path}: it exists; give another path, or --force to replace it")

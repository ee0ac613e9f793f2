"""Keeps compiled BPF programs from one run to the next.

The content is loaded into the kernel with all rights of jcollect. So a file is used only if it and its
directory belong to the user who runs jcollect and no other user can write to them; any other file is ignored.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

# Directory of root. For other users, XDG's base directory specification applies.
_SYSTEM_DIRECTORY = Path("/var/cache/jprobe")
_SUFFIX = ".programs"
# Maximum number of files: several versions of bcc and of jcollect may be used on one machine.
_KEPT = 4
_MOST_BYTES = 4 << 20


class Cache:
    """Contents by key, in a directory that may be missing or not writable."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or default_directory()

    def read(self, key: str) -> bytes | None:
        """Returns the content; None if there is none, or none that can be trusted."""
        try:
            with self._open_directory() as directory:
                # Do not wait: it could be a pipe.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                with open(os.open(key + _SUFFIX, flags, dir_fd=directory), "rb") as file:
                    about = os.fstat(file.fileno())
                    if not stat.S_ISREG(about.st_mode) or not _is_exclusive(about):
                        return None
                    return file.read(_MOST_BYTES)
        except OSError:
            return None

    def newest(self, prefix: str) -> str:
        """Returns the key of the newest content whose key begins with `prefix`; empty if there is none."""
        try:
            with self._open_directory() as directory:
                return next((name.removesuffix(_SUFFIX) for name in _newest_first(directory, prefix)), "")
        except OSError:
            return ""

    def write(self, key: str, content: bytes) -> None:
        """Does nothing if the directory is not writable: the next run compiles again."""
        with contextlib.suppress(OSError):
            if self._directory is not None:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._open_directory() as directory:
                _write(directory, key + _SUFFIX, content)
                _sweep(directory)

    @contextlib.contextmanager
    def _open_directory(self) -> Iterator[int]:
        """Raises OSError."""
        if self._directory is None:
            raise FileNotFoundError("this user has no cache directory")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(self._directory, flags)
        try:
            if not _is_exclusive(os.fstat(directory)):
                raise PermissionError(f"others can write to {self._directory}")
            yield directory
        finally:
            os.close(directory)


def default_directory() -> Path | None:
    """Returns None for a user without a home directory."""
    if os.geteuid() == 0:
        return _SYSTEM_DIRECTORY
    for base in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        if os.path.isabs(base):
            return Path(base) / "jprobe"
    return None


def _is_exclusive(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(directory: int, name: str, content: bytes) -> None:
    """Writes a file completely or not at all, even if another process writes it at the same time."""
    temporary = f"{secrets.token_hex(8)}{_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600, dir_fd=directory), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(temporary, dir_fd=directory)
            raise


def _sweep(directory: int) -> None:
    """Removes all but the newest files, including temporary files of killed processes."""
    for name in _newest_first(directory)[_KEPT:]:
        os.unlink(name, dir_fd=directory)


def _newest_first(directory: int, prefix: str = "") -> list[str]:
    names = [name for name in os.listdir(directory) if name.startswith(prefix) and name.endswith(_SUFFIX)]
    times = {name: os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns for name in names}
    return sorted(names, key=lambda name: times[name], reverse=True)

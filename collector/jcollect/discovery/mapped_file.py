"""Opens and reads the file behind a mapping, whatever it is backed by: a file that is kept, unlinked, or in
another mount namespace; a memfd with or without a descriptor.

The target may exchange, truncate or grow the file at any moment, or put a FIFO or a device in its place. So
a path is first taken hold of without opening it (O_PATH); what it leads to is compared with the mapping; and
that, and not what the path leads to by then, is opened, if it is a regular file.

The device in /proc/PID/maps is not the one that stat gives on overlayfs and btrfs, whose files have devices
of their own. What stat calls the mapped file, proc_pid_map_files(5) tells; reading it takes CAP_SYS_ADMIN or
CAP_CHECKPOINT_RESTORE.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from jcollect.discovery.limits import MAX_DESCRIPTORS, MAX_READ_BYTES
from jcollect.discovery.maps import Mapping
from jcollect.discovery.regular_file import read_held

_Identity = tuple[int, int, int]  # Major, minor, inode.


class MappedFiles:
    """The files that a process has mapped, to be read at one moment."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._bytes_left = MAX_READ_BYTES
        self._descriptors: dict[_Identity, str] | None = None

    def read(self, mapping: Mapping, most: int) -> tuple[str, bytes]:
        """A path by which the mapped file, and no other of its name, can be opened from here, and what is in
        it. Raises OSError, also where that is more than `most` bytes, or no regular file."""
        path, held = self._hold(mapping)
        try:
            status = os.fstat(held)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file", path)
            self._account(status.st_size, most, path)
            return path, read_held(held, status.st_size)
        finally:
            os.close(held)

    def _account(self, size: int, most: int, path: str) -> None:
        if size > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}", path)
        if size > self._bytes_left:
            raise OSError(errno.EFBIG, f"the process has mapped more than {MAX_READ_BYTES:,} new bytes", path)
        self._bytes_left -= size

    def _hold(self, mapping: Mapping) -> tuple[str, int]:
        """A path to the mapped file, and an O_PATH descriptor of it. Raises OSError."""
        paths = []
        if mapping.path.startswith("/") and not mapping.path.startswith("/memfd:") and not mapping.deleted:
            # The plain path first: it is the one that other tools take too (bpftrace -p puts
            # /proc/PID/root before it by itself).
            paths = [mapping.path, f"/proc/{self._pid}/root{mapping.path}"]
        found = _hold_first(paths, {mapping.file})
        if found:
            return found
        link = f"/proc/{self._pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        identities = _identities(mapping, link, paths)
        found = _hold_first(paths, identities) or _hold_first(self._described(identities), identities)
        # The link is the mapped file itself, and needs neither path nor descriptor.
        return found or (link, os.open(link, os.O_PATH | os.O_CLOEXEC))

    def _described(self, identities: Iterable[_Identity]) -> list[str]:
        """The descriptors of those files: at most one of each."""
        if self._descriptors is None:
            self._descriptors = _descriptors_of(self._pid)
        return [self._descriptors[each] for each in identities if each in self._descriptors]


def _identities(mapping: Mapping, link: str, paths: Iterable[str]) -> set[_Identity]:
    """What stat may call the mapped file."""
    try:
        return {mapping.file, _identity(os.stat(link))}
    except OSError:
        # Not permitted: then the file that has the path and the inode number will be it.
        named = {identity for identity in map(_identity_of, paths) if identity}
        return {mapping.file} | {identity for identity in named if identity[2] == mapping.inode}


def _descriptors_of(pid: int) -> dict[_Identity, str]:
    found: dict[_Identity, str] = {}
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry, _ in zip(entries, range(MAX_DESCRIPTORS), strict=False):
            identity = _identity_of(entry.path)
            if identity:
                found.setdefault(identity, entry.path)
    return found


def _hold_first(paths: Iterable[str], identities: set[_Identity]) -> tuple[str, int] | None:
    """The first path that leads to one of the files, and an O_PATH descriptor of what it led to then."""
    for path in paths:
        try:
            held = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (OSError, ValueError):
            continue
        if _identity(os.fstat(held)) in identities:
            return path, held
        os.close(held)
    return None


def _identity_of(path: str) -> _Identity | None:
    try:
        return _identity(os.stat(path))
    except (OSError, ValueError):
        return None


def _identity(status: os.stat_result) -> _Identity:
    # The inode number alone will not do: numbers of different tmpfs mounts collide.
    return (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)

"""Finds and reads the file behind a mapping. It may still exist, be unlinked, or be in another mount
namespace, and it may be a memfd with or without a descriptor. The functions run apart.

The target may exchange, truncate or grow the file at any moment, or put a FIFO or a device in its place. So
the file is opened through /proc/PID/map_files, which is the mapped file itself and not a path. Following it
requires CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. A path is accepted if it leads to the same file, and is used
for display. Without those capabilities a path is held without opening it (O_PATH), compared with the mapping,
and then the held file is opened.

On overlayfs and btrfs, whose files have devices of their own, /proc/PID/maps shows another device than stat
does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from jcollect.procfs.files import read_descriptor
from jcollect.procfs.kernel_fs import check_kernel_serves
from jcollect.procfs.mapped_answer import FileState, MappedFile, digest_of, encode

# Maximum number of files in one answer, which always holds at least one.
MAX_FILES = 256
_ENOUGH_BYTES = 8 << 20
_MAX_DESCRIPTORS = 1 << 16

_Identity = tuple[int, int, int]  # Major, minor, inode.


class Mapped(NamedTuple):
    """A line of /proc/PID/maps. `path` is empty if the line's own path does not resolve."""

    start: int
    end: int
    file: _Identity
    path: str


def read_mapped(
    pid: int,
    mappings: Sequence[Mapped],
    most: int,
    most_of_all: int,
    read_before: int,
    known: frozenset[FileState],
) -> bytes:
    """Returns the files behind the first of these mappings, as many as fit into an answer, encoded for
    `decode`.

    A file may have `most` bytes, and all together `most_of_all`. Omits the content of `known` files.
    """
    files = _Files(pid, most, known)
    read = read_before
    answer = []
    for mapping in mappings[:MAX_FILES]:
        try:
            file = files.read(mapping, most_of_all, read)
        except OSError as error:
            answer.append(encode(error))
            continue
        answer.append(encode(file))
        read += len(file.content or b"")
        if read - read_before > _ENOUGH_BYTES:
            break
    return b"".join(answer)


def open_mapped(
    pid: int, mapping: Mapped, path: str, state: FileState, digest: bytes
) -> tuple[bytes, list[int]]:
    """Returns an O_PATH descriptor of a file that was read before, and its current state, encoded.

    `path` is a path from here, used if map_files may not be followed. Raises OSError: ESTALE if it is another
    file or has other content, EREMOTE if the kernel would have to request its pages from others.
    """
    descriptor = _open_link(pid, mapping)
    if descriptor is None:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        now = FileState.of(os.fstat(descriptor))
        check_kernel_serves(descriptor, pid)
        # Unlinking and renaming the file change its ctime as well.
        if now.content != state.content or (
            now != state and digest_of(read_descriptor(descriptor, now.size)) != digest
        ):
            raise OSError(errno.ESTALE, "it has changed since it was read")
        return now.packed(), [descriptor]
    except BaseException:
        os.close(descriptor)
        raise


class _Files:
    """The files that a process has mapped, at one moment."""

    def __init__(self, pid: int, most: int, known: frozenset[FileState]) -> None:
        self._pid = pid
        self._most = most
        self._known = known
        self._descriptors: dict[_Identity, str] | None = None

    def read(self, mapping: Mapped, most_of_all: int, read_before: int) -> MappedFile:
        """Reads one file. Raises OSError, also if it has too many bytes or is not a regular file."""
        path, descriptor = self._open(mapping)
        try:
            about = os.fstat(descriptor)
            state = FileState.of(about)
            if state in self._known:
                return MappedFile(path, state, about.st_uid, b"", None)
            if state.size > self._most:
                raise OSError(errno.EFBIG, f"it has {state.size:,} bytes, more than {self._most:,}")
            if read_before + state.size > most_of_all:
                raise OSError(errno.EFBIG, f"the process has mapped more than {most_of_all:,} new bytes")
            content = read_descriptor(descriptor, state.size)
            return MappedFile(path, state, about.st_uid, digest_of(content), content)
        finally:
            os.close(descriptor)

    def _open(self, mapping: Mapped) -> tuple[str, int]:
        """Returns a path to the mapped file, and an O_PATH descriptor of it. Raises OSError."""
        # The plain path comes first because other tools want it (bpftrace -p adds the /proc/PID/root prefix
        # itself).
        paths = [mapping.path, f"/proc/{self._pid}/root{mapping.path}"] if mapping.path else []
        descriptor = _open_link(self._pid, mapping)
        if descriptor is not None:
            identity = _identity(os.fstat(descriptor))
            shown = _first(paths, {identity}) or self._described({identity}) or _link(self._pid, mapping)
            return shown, descriptor
        # map_files is not permitted: the file with that path and inode number is taken as the mapped one.
        named = {identity for identity in map(_identity_of, paths) if identity}
        identities = {mapping.file} | {identity for identity in named if identity[2] == mapping.file[2]}
        path = _first(paths, identities) or self._described(identities)
        if path is None:
            raise PermissionError(
                errno.EPERM,
                "only /proc/PID/map_files leads to it, and that requires CAP_SYS_ADMIN or "
                "CAP_CHECKPOINT_RESTORE",
            )
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if _identity(os.fstat(descriptor)) not in identities:
            os.close(descriptor)
            raise OSError(errno.ESTALE, "its path leads to another file", path)
        return path, descriptor

    def _described(self, identities: Iterable[_Identity]) -> str | None:
        if self._descriptors is None:
            self._descriptors = _descriptors_of(self._pid)
        return next((self._descriptors[each] for each in identities if each in self._descriptors), None)


def _link(pid: int, mapping: Mapped) -> str:
    return f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"


def _open_link(pid: int, mapping: Mapped) -> int | None:
    """Returns a descriptor of the mapped file, whatever its length now; None if this process
    may not follow the link.

    Raises OSError if nothing is mapped there.
    """
    path = _link(pid, mapping)
    try:
        try:
            return os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            for name in _names(os.path.dirname(path)):
                if name.startswith(f"{mapping.start:x}-"):
                    return os.open(f"/proc/{pid}/map_files/{name}", os.O_PATH | os.O_CLOEXEC)
            raise
    except PermissionError:
        return None


def _names(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries)


def _descriptors_of(pid: int) -> dict[_Identity, str]:
    found: dict[_Identity, str] = {}
    for name, _ in zip(_names(f"/proc/{pid}/fd"), range(_MAX_DESCRIPTORS), strict=False):
        path = f"/proc/{pid}/fd/{name}"
        identity = _identity_of(path)
        if identity:
            found.setdefault(identity, path)
    return found


def _first(paths: Iterable[str], identities: set[_Identity]) -> str | None:
    return next((path for path in paths if _identity_of(path) in identities), None)


def _identity_of(path: str) -> _Identity | None:
    try:
        return _identity(os.stat(path))
    except (OSError, ValueError):
        return None


def _identity(status: os.stat_result) -> _Identity:
    # Inode numbers alone do not suffice: those of different tmpfs mounts collide.
    return (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)

"""Reads /proc/PID/maps. Format: proc_pid_maps(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jcollect.limits import MAX_KEPT_BYTES, MAX_MAPS_BYTES
from jcollect.procfs.apart import PATIENCE_SECONDS, apart
from jcollect.procfs.memory_map import read_lines
from jcollect.procfs.process import Process

_LINE = re.compile(
    r"(?P<start>[0-9a-f]{1,16})-(?P<end>[0-9a-f]{1,16}) (?P<access>\S{4}) (?P<offset>[0-9a-f]{1,16}) "
    r"(?P<major>[0-9a-f]{1,8}):(?P<minor>[0-9a-f]{1,8}) (?P<inode>[0-9]{1,20}) *(?P<path>.*)"
)
_ESCAPED_NEWLINE = "\\012"
DELETED = " (deleted)"


class MappingKey(NamedTuple):
    """Identifies a mapping among all that its process has, had or will have: device and inode, address, path.

    The path is part of it because the kernel soon gives the inode of a deleted file to another one, which may
    be mapped at the same address.
    """

    file: tuple[int, int, int]
    start: int
    path: str


@dataclass(frozen=True)
class Mapping:
    """One line. Addresses and offset are in bytes; `path` is as printed, without " (deleted)"."""

    start: int
    end: int
    access: str
    offset: int
    major: int
    minor: int
    inode: int
    path: str
    deleted: bool

    @property
    def key(self) -> MappingKey:
        return MappingKey(self.file, self.start, self.path)

    @property
    def file(self) -> tuple[int, int, int]:
        """Identifies the mapped file: major, minor, inode."""
        return (self.major, self.minor, self.inode)


def parse_maps(text: str) -> Iterator[Mapping]:
    """Yields the mappings of files and memfds, and skips all other lines."""
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None or match["inode"] == "0":
            continue
        path = match["path"].replace(_ESCAPED_NEWLINE, "\n")
        deleted = path.endswith(DELETED)
        yield Mapping(
            start=int(match["start"], 16),
            end=int(match["end"], 16),
            access=match["access"],
            offset=int(match["offset"], 16),
            major=int(match["major"], 16),
            minor=int(match["minor"], 16),
            inode=int(match["inode"]),
            path=path.removesuffix(DELETED) if deleted else path,
            deleted=deleted,
        )


def read_maps(process: Process, *containing: bytes, seconds: float = PATIENCE_SECONDS) -> list[Mapping]:
    """Returns the current file mappings of a process whose lines contain one of the given bytes; without
    these, all file mappings.

    A JVM has a thousand lines. Searching them for bytes takes microseconds, parsing all takes milliseconds.

    Raises OSError as open(2) and read(2) do, EFBIG if the text is too long, and TimeoutError.
    """
    limits = (MAX_MAPS_BYTES, MAX_KEPT_BYTES)
    answer = apart(process, read_lines, process.pid, containing, *limits, seconds=seconds)
    # A path may hold any bytes; surrogateescape keeps it usable with open.
    return list(parse_maps(answer.content.decode(errors="surrogateescape")))

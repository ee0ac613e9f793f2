"""Reads /proc/PID/maps. Format: proc_pid_maps(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jcollect.limits import MAX_KEPT_BYTES, MAX_MAPS_BYTES
from jcollect.procfs.apart import PATIENCE_SECONDS, apart
from jcollect.procfs.memory_map import read_lines

_LINE = re.compile(
    r"(?P<start>[0-9a-f]{1,16})-(?P<end>[0-9a-f]{1,16}) (?P<access>\S{4}) (?P<offset>[0-9a-f]{1,16}) "
    r"(?P<major>[0-9a-f]{1,8}):(?P<minor>[0-9a-f]{1,8}) (?P<inode>[0-9]{1,20}) *(?P<path>.*)"
)
_ESCAPED_NEWLINE = "\\012"
DELETED = " (deleted)"


class Place(NamedTuple):
    """Device and inode, address, and path: of a file that is gone another one may soon have the first two,
    and the same address."""

    file: tuple[int, int, int]
    start: int
    path: str


@dataclass(frozen=True)
class Mapping:
    """One line: addresses and offset in bytes; `path` as printed, without the mark of deleted files."""

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
    def place(self) -> Place:
        """Tells what is mapped from all else that is, was or will be mapped in the process."""
        return Place(self.file, self.start, self.path)

    @property
    def file(self) -> tuple[int, int, int]:
        """Identifies the mapped file: major, minor, inode."""
        return (self.major, self.minor, self.inode)


def parse_maps(text: str) -> Iterator[Mapping]:
    """The mappings of files and memfds; lines of other shapes are left out."""
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


def mapped_pages(pid: int) -> int:
    """How many pages a process has mapped: 0, if it is gone.

    What is mapped or unmapped changes it, and to read it takes a hundredth of reading the map.
    """
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as stream:
            return int(stream.read().split()[0])
    except OSError:
        return 0


def read_maps(pid: int, *containing: bytes, seconds: float = PATIENCE_SECONDS) -> list[Mapping]:
    """Returns the file mappings of a live process whose lines contain one of the given bytes, or all of them.

    A JVM has a thousand lines: searching them for bytes takes a few microseconds, parsing all some
    milliseconds. Raises OSError as open(2) and read(2) do, EFBIG if the text is too long, and TimeoutError.
    """
    answer = apart(pid, read_lines, pid, containing, MAX_MAPS_BYTES, MAX_KEPT_BYTES, seconds=seconds)
    # A path may hold any bytes; surrogateescape keeps it usable with open.
    return list(parse_maps(answer.content.decode(errors="surrogateescape")))

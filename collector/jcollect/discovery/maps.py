"""Reads /proc/PID/maps. Format: proc_pid_maps(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<access>\S{4}) (?P<offset>[0-9a-f]+) "
    r"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+) (?P<inode>\d+) *(?P<path>.*)"
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


def read_maps(pid: int, containing: bytes = b"") -> list[Mapping]:
    """The file mappings of a live process, of those lines that contain some bytes.

    A JVM has a thousand lines: looking for bytes in all of them takes a few microseconds, parsing them
    some milliseconds. Raises OSError as open(2) and read(2) do.
    """
    content = Path(f"/proc/{pid}/maps").read_bytes()
    if containing:
        content = b"\n".join(_lines_with(content, containing))
    # A path may hold any bytes; surrogateescape keeps it usable with open.
    return list(parse_maps(content.decode(errors="surrogateescape")))


def _lines_with(content: bytes, part: bytes) -> Iterator[bytes]:
    at = content.find(part)
    while at >= 0:
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        yield content[content.rfind(b"\n", 0, at) + 1 : end]
        at = content.find(part, end)

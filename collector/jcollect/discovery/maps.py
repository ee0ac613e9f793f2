"""Reads /proc/PID/maps. Format: proc_pid_maps(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<access>\S{4}) (?P<offset>[0-9a-f]+) "
    r"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+) (?P<inode>\d+) *(?P<path>.*)"
)
_ESCAPED_NEWLINE = "\\012"
DELETED = " (deleted)"


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


def read_maps(pid: int) -> list[Mapping]:
    """The file mappings of a live process. Raises OSError as open(2) and read(2) do."""
    # A path may hold any bytes; surrogateescape keeps it usable with open.
    return list(parse_maps(Path(f"/proc/{pid}/maps").read_bytes().decode(errors="surrogateescape")))

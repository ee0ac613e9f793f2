"""Reads lines of /proc/PID/maps. For functions that run apart: the process can hold its memory map's lock."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

_PIECE_BYTES = 1 << 16


def read_lines(pid: int, containing: Sequence[bytes], most: int, most_kept: int) -> bytes:
    """The lines that contain one of the parts; all of them, if there are no parts.

    Reads `most` bytes and keeps `most_kept`. Raises OSError as open(2) and read(2) do, and EFBIG where there
    is more.
    """
    path = f"/proc/{pid}/maps"
    found: list[bytes] = []
    read, kept, rest = 0, 0, b""
    # In pieces, each of whole lines: of a process with long paths the kernel prints 256 MiB and more.
    with open(path, "rb", buffering=0) as stream:
        while piece := stream.read(_PIECE_BYTES):
            lines, _, rest = (rest + piece).rpartition(b"\n")
            for line in _lines_with(lines, containing):
                found.append(line)
                kept += len(line)
            read += len(piece)
            if read > most or kept > most_kept:
                raise OSError(errno.EFBIG, "its memory map is too large", path)
    return b"\n".join([*found, *_lines_with(rest, containing)])


def _lines_with(content: bytes, parts: Sequence[bytes]) -> Iterator[bytes]:
    """In their order; all of them, in one, if there are no parts."""
    if not parts:
        yield content
        return
    found: dict[int, bytes] = {}
    for part in parts:
        at = content.find(part)
        while at >= 0:
            begin, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
            end = len(content) if end < 0 else end
            found[begin] = content[begin:end]
            at = content.find(part, end)
    yield from (found[begin] for begin in sorted(found))

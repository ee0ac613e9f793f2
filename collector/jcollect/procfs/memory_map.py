"""Reads lines of /proc/PID/maps. The functions run apart, because the process can hold the lock on its memory
map."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

_PIECE_BYTES = 1 << 16


def read_lines(pid: int, containing: Sequence[bytes], most: int, most_kept: int) -> bytes:
    """Returns the lines that contain one of the parts; all lines if there are no parts.

    Reads at most `most` bytes and keeps at most `most_kept`. Raises OSError as open(2) and read(2) do, and
    EFBIG if there is more.
    """
    path = f"/proc/{pid}/maps"
    found: list[bytes] = []
    read, kept, rest = 0, 0, b""
    # Reads in pieces of whole lines, because the kernel prints 256 MiB and more for a process with long
    # paths.
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
    """Yields the matching lines in order; the whole content at once if there are no parts."""
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

"""Reads the stacks that a process has captured: a sealed memfd in which its agent describes each once
(layout/stacks.toml).

The memory is untrusted: sizes are checked before they are used, and what is read is bounded. It is read by
`pread`, not mapped: a hole would get memory, which the process would pay for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jcollect.layout.stacks import (
    STACK_ENTRY_KIND_FRAME,
    STACK_ENTRY_KIND_STACK,
    STACK_ENTRY_SIZE,
    STACK_FILE_SIZE,
    STACKS_MAX_BYTES,
    STACKS_MAX_FRAMES,
    STACKS_MAX_TEXT,
    STACKS_VERSION,
    StackEntry,
)
from jcollect.layout.stacks import (
    StackFile as _Header,
)
from jcollect.procfs.apart import apart
from jcollect.procfs.process import Process
from jcollect.procfs.sealed import open_sealed

# Bytes that are read at a time.
_PIECE = 1 << 20
# Entries, and frames of all stacks together, that are read of one process: reading them takes about a second.
_MOST_ENTRIES = 1 << 18
_MOST_FRAMES = 1 << 22
_FRAME_NUMBER_BYTES = 4


class FoundStack(NamedTuple):
    """A stack as its process describes it: frames, the innermost first."""

    id: int
    frames: tuple[str, ...]
    is_truncated: bool


class StackFile:
    """The stacks of one process, which can be read also after it has exited, until `close`.

    `identity` distinguishes them from those of an agent that was started later. `problem` states why
    nothing more is read; empty if all is well. For one thread at a time.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes over the descriptor of a sealed memfd. Raises OSError if it holds no stacks."""
        self._descriptor = descriptor
        about = os.fstat(descriptor)
        header = self._header()
        if header.version != STACKS_VERSION:
            raise _malformed(f"it has version {header.version}, and this jcollect reads {STACKS_VERSION}")
        if header.data % 8 or header.data < STACK_FILE_SIZE or header.data > about.st_size:
            raise _malformed("its stacks overlap its header")
        self._data = header.data
        self._room = min(about.st_size - header.data, STACKS_MAX_BYTES)
        self._entries = self._frame_count = 0
        self._read = 0
        self._frames: dict[int, str] = {}
        self.problem = ""
        self.identity = (about.st_dev, about.st_ino, header.began)

    @staticmethod
    def open(process: Process, number: int) -> StackFile:
        """Opens the stacks behind a descriptor of the process. Raises OSError."""
        (descriptor,) = apart(process, open_sealed, process.pid, number).descriptors
        try:
            return StackFile(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def counts(self) -> tuple[int, int]:
        """Returns the number of stacks, and of values without one, as the process claims. Raises OSError."""
        header = self._header()
        return int(header.stacks), int(header.lost)

    def _header(self) -> _Header:
        header = os.pread(self._descriptor, STACK_FILE_SIZE, 0)
        if len(header) < STACK_FILE_SIZE:
            raise _malformed("it is too short")
        return _Header.from_buffer_copy(header)

    def new(self) -> Iterator[FoundStack]:
        """Yields the stacks that were described since the last call. Raises OSError; nothing is read
        any more after an entry that is malformed or one too many."""
        if self.problem:
            return
        used = self._header().used
        if used > self._room:
            raise self._stopped("its stacks do not fit into it")
        while self._read < used:
            piece = os.pread(self._descriptor, min(_PIECE, used - self._read), self._data + self._read)
            at = 0
            while at + STACK_ENTRY_SIZE <= len(piece):
                if self._entries >= _MOST_ENTRIES or self._frame_count >= _MOST_FRAMES:
                    raise self._stopped("it has too many stacks")
                entry = StackEntry.from_buffer_copy(piece, at)
                content = at + STACK_ENTRY_SIZE
                end = content + (entry.bytes + 7 & ~7)
                if entry.bytes > max(STACKS_MAX_TEXT, _FRAME_NUMBER_BYTES * STACKS_MAX_FRAMES):
                    raise self._stopped("an entry is too long")
                if end > len(piece):
                    break
                found = self._take(entry, piece[content : content + entry.bytes])
                self._entries += 1
                self._frame_count += 0 if found is None else len(found.frames)
                at = end
                self._read += STACK_ENTRY_SIZE + (entry.bytes + 7 & ~7)
                if found is not None:
                    yield found
            if not at:
                raise self._stopped("an entry is beyond the end of the others")

    def _take(self, entry: StackEntry, content: bytes) -> FoundStack | None:
        if entry.kind == STACK_ENTRY_KIND_FRAME:
            self._frames[entry.number] = content.decode(errors="replace")
            return None
        if entry.kind != STACK_ENTRY_KIND_STACK:
            raise self._stopped("an entry is of an unknown kind")
        if entry.bytes % _FRAME_NUMBER_BYTES:
            raise self._stopped("a stack has half a frame")
        numbers = np.frombuffer(content, "<u4").tolist()
        try:
            frames = tuple([self._frames[number] for number in numbers])
        except KeyError:
            raise self._stopped("a stack has a frame that is not described") from None
        return FoundStack(entry.number, frames, bool(entry.is_truncated))

    def _stopped(self, problem: str) -> OSError:
        self.problem = problem
        return _malformed(problem)


def _malformed(problem: str) -> OSError:
    return OSError(errno.EBADMSG, problem)

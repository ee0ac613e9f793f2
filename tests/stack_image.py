"""Writes stacks as an agent does, to a sealed memfd of this process, for tests."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Sequence

from jcollect.layout.stacks import (
    STACK_ENTRY_KIND_FRAME,
    STACK_ENTRY_KIND_STACK,
    STACK_FILE_USED,
    STACKS_VERSION,
    StackEntry,
    StackFile,
)

DATA = 4096
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class StackImage:
    """A file of stacks. `descriptor` is its number in this process, which its reader closes."""

    def __init__(self, size: int = 1 << 16, **header: int) -> None:
        """`header` replaces words of the header."""
        self.descriptor = os.memfd_create("jprobe-stacks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        words = {"version": STACKS_VERSION, "data": DATA, "bytes": size, "began": 1, **header}
        os.pwrite(self.descriptor, bytes(StackFile(**words)), 0)
        os.ftruncate(self.descriptor, size)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, SEALS)
        self._frames: dict[str, int] = {}
        self._stacks = 0
        self.used = 0

    def add(self, frames: Sequence[str], is_truncated: bool = False) -> int:
        """Describes a stack, and returns its ID."""
        numbers = []
        for frame in frames:
            if frame not in self._frames:
                self._frames[frame] = len(self._frames) + 1
                self.entry(STACK_ENTRY_KIND_FRAME, self._frames[frame], frame.encode())
            numbers.append(self._frames[frame])
        self._stacks += 1
        content = struct.pack(f"<{len(numbers)}I", *numbers)
        self.entry(STACK_ENTRY_KIND_STACK, self._stacks, content, is_truncated)
        return self._stacks

    def entry(self, kind: int, number: int, content: bytes, is_truncated: bool = False) -> None:
        """Appends any entry."""
        head = bytes(StackEntry(kind, len(content), number, int(is_truncated)))
        padded = head + content + bytes(-len(content) % 8)
        os.pwrite(self.descriptor, padded, DATA + self.used)
        self.publish(self.used + len(padded))

    def publish(self, used: int) -> None:
        """Makes so many bytes of entries visible."""
        self.used = used
        os.pwrite(self.descriptor, struct.pack("<Q", used), STACK_FILE_USED)

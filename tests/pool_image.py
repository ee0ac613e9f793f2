"""A pool of the direct lane that a test writes as an agent's threads do, in a memfd of this process."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from jcollect.layout.direct import (
    CHUNK_STATE_CLOSED,
    CHUNK_STATE_FREE,
    CHUNK_STATE_OPEN,
    DIRECT_CHUNK_BYTES,
    DIRECT_CHUNK_SIZE,
    DIRECT_LARGE_CHUNK_BYTES,
    DIRECT_POOL_FREE_LARGE,
    DIRECT_POOL_FREE_SMALL,
    DIRECT_POOL_LOST,
    DIRECT_POOL_RINGS,
    DIRECT_POOL_SIZE,
    DIRECT_STACK_TAG_SHIFT,
    DIRECT_STACK_TOP_MASK,
    DIRECT_VERSION,
    DirectChunk,
    DirectPool,
)
from jcollect.layout.record import Record, RingHeader

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_PAGE = 4096


def direct_record(
    number: int,
    words: list[int],
    text: bytes = b"",
    *,
    time: int,
    flags: int = 0,
    text_bytes: int | None = None,
) -> bytes:
    """Returns a record of the probe with this number, without its header."""
    size = len(text) if text_bytes is None else text_bytes
    head = Record(time=time, tid=0, probe=number, text=size, words=len(words), flags=flags)
    return bytes(head) + struct.pack(f"<{len(words)}Q", *words) + text


class PoolImage:
    """A pool. `descriptor` is its number in this process, until `close`."""

    def __init__(
        self,
        small: int = 8,
        large: int = 2,
        seals: int = SEALS,
        header: Mapping[str, int] | None = None,
        cut: int = 0,
    ) -> None:
        """`header` replaces words of the header; the file has `cut` bytes less than it should."""
        self.small, self.large = small, large
        self.headers = -(-DIRECT_POOL_SIZE // _PAGE) * _PAGE
        queue = self.headers + (small + large) * DIRECT_CHUNK_SIZE
        self.data = -(-(queue + (small + large) * 8) // _PAGE) * _PAGE
        size = self.data + small * DIRECT_CHUNK_BYTES + large * DIRECT_LARGE_CHUNK_BYTES
        words = {
            "version": DIRECT_VERSION,
            "small_chunks": small,
            "large_chunks": large,
            "headers": self.headers,
            "queue": queue,
            "data": self.data,
            "bytes": size,
            "began": 1,
        }
        self.descriptor = os.memfd_create("jprobe-rings", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)
        self.memory[:DIRECT_POOL_SIZE] = bytes(DirectPool(**{**words, **(header or {})}))
        if cut:
            os.ftruncate(self.descriptor, size - cut)
        if seals:
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        if not cut:
            for chunk in reversed(range(small + large)):
                self.push(chunk)

    def close(self) -> None:
        self.memory.close()
        os.close(self.descriptor)

    def word(self, offset: int) -> int:
        return int.from_bytes(self.memory[offset : offset + 8], "little")

    def set_word(self, offset: int, value: int) -> None:
        self.memory[offset : offset + 8] = value.to_bytes(8, "little")

    def chunk(self, number: int) -> DirectChunk:
        """Returns the header of a chunk: changes of it are changes of the pool."""
        return DirectChunk.from_buffer(self.memory, self.headers + number * DIRECT_CHUNK_SIZE)

    def data_of(self, number: int) -> int:
        """Returns the offset of a chunk's data."""
        large = max(0, number - self.small)
        return self.data + min(number, self.small) * DIRECT_CHUNK_BYTES + large * DIRECT_LARGE_CHUNK_BYTES

    def stack_of(self, number: int) -> int:
        return DIRECT_POOL_FREE_SMALL if number < self.small else DIRECT_POOL_FREE_LARGE

    def push(self, number: int) -> None:
        stack = self.stack_of(number)
        self.chunk(number).next = self.word(stack) & DIRECT_STACK_TOP_MASK
        tag = ((self.word(stack) >> DIRECT_STACK_TAG_SHIFT) + 1) & 0xFFFFFFFF
        self.set_word(stack, tag << DIRECT_STACK_TAG_SHIFT | number + 1)

    def pop(self, is_large: bool = False) -> int | None:
        stack = DIRECT_POOL_FREE_LARGE if is_large else DIRECT_POOL_FREE_SMALL
        top = self.word(stack) & DIRECT_STACK_TOP_MASK
        if not top:
            return None
        tag = ((self.word(stack) >> DIRECT_STACK_TAG_SHIFT) + 1) & 0xFFFFFFFF
        self.set_word(stack, tag << DIRECT_STACK_TAG_SHIFT | self.chunk(top - 1).next)
        return top - 1

    def free(self, is_large: bool = False) -> list[int]:
        """Returns the chunks on a stack, from its top."""
        found = []
        top = (
            self.word(DIRECT_POOL_FREE_LARGE if is_large else DIRECT_POOL_FREE_SMALL) & DIRECT_STACK_TOP_MASK
        )
        while top:
            found.append(top - 1)
            top = self.chunk(top - 1).next
        assert all(self.chunk(number).state == CHUNK_STATE_FREE for number in found)
        return found

    def add(self, offset: int, amount: int = 1) -> int:
        self.set_word(offset, self.word(offset) + amount)
        return self.word(offset)


@dataclass
class _End:
    chunk: int | None = None
    at: int = 0
    records: int = 0
    ring: int = 0
    seq: int = 0


class RingThread:
    """A thread that writes to a pool. Its two rings are those for small and large records."""

    def __init__(self, image: PoolImage, tid: int) -> None:
        self.image = image
        self.tid = tid
        self.lost = 0
        self._ends = (_End(), _End())

    def put(self, body: bytes) -> bool:
        """Writes a record; returns false if it is lost because no chunk is free."""
        step = len(bytes(RingHeader())) + -(-len(body) // 8) * 8
        is_large = step > DIRECT_CHUNK_BYTES
        end = self._ends[is_large]
        size = DIRECT_LARGE_CHUNK_BYTES if is_large else DIRECT_CHUNK_BYTES
        if (end.chunk is None or end.at + step > size) and not self._extend(end, is_large):
            self.image.add(DIRECT_POOL_LOST)
            self.lost += 1
            end.seq += 1
            return False
        assert end.chunk is not None
        content = bytes(RingHeader(length=len(body), page_offset=end.seq & 0xFFFFFFFF)) + body
        start = self.image.data_of(end.chunk) + end.at
        self.image.memory[start : start + step] = content.ljust(step, b"\xee")
        end.at += step
        end.seq += 1
        end.records += 1
        self.image.chunk(end.chunk).committed = end.at
        return True

    def _extend(self, end: _End, is_large: bool) -> bool:
        self._close(end)
        number = self.image.pop(is_large)
        if number is None:
            return False
        end.ring = end.ring or self.image.add(DIRECT_POOL_RINGS)
        end.chunk, end.at, end.records = number, 0, 0
        chunk = self.image.chunk(number)
        chunk.ring, chunk.tid, chunk.first_seq, chunk.committed = end.ring, self.tid, end.seq, 0
        chunk.state = CHUNK_STATE_OPEN
        return True

    def _close(self, end: _End) -> None:
        if end.chunk is not None:
            chunk = self.image.chunk(end.chunk)
            chunk.records = end.records
            chunk.state = CHUNK_STATE_CLOSED
            end.chunk = None

    def end(self) -> None:
        """Closes its chunks, as a thread that ends does."""
        for end in self._ends:
            self._close(end)

"""Records and rings built from named parts: what the handler writes, and the memory it lies in."""

from __future__ import annotations

import mmap
import os
import struct

from jcollect.sources.bpf.ring import Ring

BUSY, DISCARDED = 1 << 31, 1 << 30
PRESENT, UNREADABLE, CUT = 1 << 32, 1 << 33, 1 << 34
TIME, TID = 1_000, 77


def record(
    size: int,
    probe: int,
    words: list[int],
    text: bytes = b"",
    flags: int = 0,
    head: int = 0,
    time: int = TIME,
    tid: int = TID,
) -> bytes:
    """A record of `size` bytes, after the ring's header of 8; `head` is what stands there beside the size."""
    body = struct.pack("<QIIIHH", time, tid, probe, len(text), len(words), flags)
    body += struct.pack(f"<{len(words)}Q", *words) + text
    assert len(body) <= size
    return struct.pack("<II", size | head, 0xDEAD) + body.ljust(-(-size // 8) * 8, b"\xee")


class RingImage:
    """A ring buffer that nobody but the test writes to; a context manager. `ring` is its reader's side."""

    def __init__(self, *records: bytes, data_bytes: int = 1 << 18, start: int = 0) -> None:
        """Positions begin at `start`."""
        self._bytes = data_bytes
        page = mmap.PAGESIZE
        self._file = os.memfd_create("ring")
        os.ftruncate(self._file, 2 * page + data_bytes)
        self._memory = mmap.mmap(self._file, 2 * page + data_bytes)
        self.consumer = self.producer = start
        self.write(*records)
        self.ring = Ring(self._file, data_bytes)

    @property
    def consumer(self) -> int:
        return self._read(0)

    @consumer.setter
    def consumer(self, position: int) -> None:
        self._write(0, struct.pack("<Q", position))

    @property
    def producer(self) -> int:
        return self._read(mmap.PAGESIZE)

    @producer.setter
    def producer(self, position: int) -> None:
        self._write(mmap.PAGESIZE, struct.pack("<Q", position))

    def write(self, *records: bytes) -> None:
        """Behind what is there, around the end."""
        for each in records:
            assert self.producer + len(each) - self.consumer <= self._bytes
            self.put(self.producer, each)
            self.producer += len(each)

    def put(self, position: int, content: bytes) -> None:
        """Bytes at a position, around the end."""
        for i, byte in enumerate(content):
            self._memory[2 * mmap.PAGESIZE + (position + i) % self._bytes] = byte

    def _read(self, at: int) -> int:
        return int.from_bytes(self._memory[at : at + 8], "little")

    def _write(self, at: int, content: bytes) -> None:
        self._memory[at : at + len(content)] = content

    def __enter__(self) -> RingImage:
        return self

    def __exit__(self, *_: object) -> None:
        self.ring.close()
        self._memory.close()
        os.close(self._file)

"""Builds records as the BPF program writes them, and ring buffers that hold them, from named parts."""

from __future__ import annotations

import mmap
import os
import struct

from jcollect.layout.record import (
    RING_LENGTH_BUSY,
    RING_LENGTH_DISCARDED,
    Record,
    RingHeader,
    pack_ring_length,
    pack_string_word,
)
from jcollect.sources.bpf.ring import Ring

BUSY, DISCARDED = RING_LENGTH_BUSY, RING_LENGTH_DISCARDED
TIME, TID = 1_000, 77


def string(length: int, *, cut: bool = False, unreadable: bool = False) -> int:
    """Returns the word of a string of that many bytes of text."""
    return pack_string_word(length=length, present=1, unreadable=unreadable, cut=cut)


def header(size: int, head: int = 0) -> bytes:
    """Returns the header of a record of `size` bytes; `head` is the word beside the size."""
    length = pack_ring_length(bytes=size, discarded=0, busy=0) | head
    return bytes(RingHeader(length=length, page_offset=0xDEAD))


def record(
    size: int,
    probe: int,
    words: list[int],
    text: bytes = b"",
    flags: int = 0,
    head: int = 0,
    time: int = TIME,
    tid: int = TID,
    late: int = 0,
) -> bytes:
    """Returns a record of `size` bytes, after its header; `head` is the word beside the size."""
    body = bytes(
        Record(time=time, tid=tid, probe=probe, late=late, text=len(text), words=len(words), flags=flags)
    )
    body += struct.pack(f"<{len(words)}Q", *words) + text
    assert len(body) <= size
    return header(size, head) + body.ljust(-(-size // 8) * 8, b"\xee")


class RingImage:
    """A ring buffer that only the test writes to; a context manager. `ring` is its reader's side."""

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
        """Writes after the existing data, wrapping around the end."""
        for each in records:
            assert self.producer + len(each) - self.consumer <= self._bytes
            self.put(self.producer, each)
            self.producer += len(each)

    def put(self, position: int, content: bytes) -> None:
        """Writes bytes at a position, wrapping around the end."""
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

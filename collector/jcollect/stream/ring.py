"""Reads the BPF ring buffer in bulk through its memory mapping, without a call per event.

Layout (kernel/bpf/ringbuf.c): consumer position in a writable page at offset 0; producer position
in a read-only page at 4096, followed by the data, mapped twice in a row so that a record that wraps
around the end is contiguous all the same. Each record has a header of 8 bytes: u32 length, with
bit 31 set while it is being written (busy) and bit 30 where it was given up (discarded); u32 for the
kernel. Every record of ours starts on a 64-byte boundary and has less than 256 * 64 bytes:
bpf/events.c sees to it.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNIT = 64
_HEADER_BYTES = 8
_BUSY = 1 << 31
_DISCARD = 1 << 30
_FLAGS = _BUSY | _DISCARD


@dataclass(frozen=True)
class RawRecords:
    """Records copied out of the ring; `starts` (int64) has the offsets of their headers in `data`."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]


def find_records(data: npt.NDArray[np.uint8], most: int) -> tuple[npt.NDArray[np.int64], int]:
    """Finds the records in a piece of the ring that begins with one.

    Returns the offsets of at most `most` complete records, discarded ones left out, and the number of
    bytes that are dealt with. Stops at a busy record and at one that is cut off by the end of `data`.
    """
    heads: npt.NDArray[np.uint32] = data[: len(data) // UNIT * UNIT].view("<u4")[:: UNIT // 4]
    if not len(heads):
        return np.empty(0, np.int64), 0
    first = int(heads[0])
    if not first & _FLAGS:
        # Events of one kind make records of one size: then no record need be looked at by itself.
        step = _units(first)
        like_first = heads[::step] == first
        count = min(len(like_first), most, len(heads) // step)
        deals_with_all = count == most or count * step == len(heads)
        if deals_with_all and like_first[:count].all():
            return np.arange(count, dtype=np.int64) * (step * UNIT), count * step * UNIT
    # Else from one to the next. As bytes, because indexing those is what Python does fastest: 80 ns a
    # record. What stands in the middle of a record gives a senseless step, where nobody lands.
    lengths = heads & ~np.uint32(_FLAGS)
    steps = ((lengths + np.uint32(_HEADER_BYTES + UNIT - 1)) // np.uint32(UNIT)).astype(np.uint8)
    steps[heads & np.uint32(_BUSY) != 0] = 0
    walk = steps.tobytes()
    starts: list[int] = []
    at, end = 0, len(walk)
    while at < end and len(starts) < most:
        step = walk[at]
        if step == 0 or at + step > end:
            break
        starts.append(at)
        at += step
    found = np.array(starts, np.int64)
    return found[heads[found] & np.uint32(_DISCARD) == 0] * UNIT, at * UNIT


def _units(header: int) -> int:
    return -(-(header + _HEADER_BYTES) // UNIT)


class Ring:
    """The mapping of one ring buffer, for one reader."""

    def __init__(self, descriptor: int, data_bytes: int) -> None:
        """`descriptor` is the map's; `data_bytes` its size, a power of two times the page size."""
        page = mmap.PAGESIZE
        self._mask = data_bytes - 1
        self._consumer_page = mmap.mmap(descriptor, page)
        self._consumer = ctypes.c_uint64.from_buffer(self._consumer_page)
        self._producer_pages = mmap.mmap(
            descriptor, page + 2 * data_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._producer = np.frombuffer(self._producer_pages, "<u8", 1)
        self._data = np.frombuffer(self._producer_pages, np.uint8, 2 * data_bytes, page)
        self._weakly_ordered = platform.machine() != "x86_64"
        self._fence = threading.Lock()

    def read(self, most_records: int, most_bytes: int) -> RawRecords | None:
        """Takes complete records out of the ring; None when there are none. Call again at once otherwise."""
        while True:
            position = self._consumer.value
            available = min(int(self._producer[0]) - position, most_bytes)
            if available <= 0:
                return None
            self._order()
            start = position & self._mask
            starts, size = find_records(self._data[start : start + available], most_records)
            if size == 0:
                return None
            self._order()
            data = self._data[start : start + size].copy()
            self._order()
            self._consumer.value = position + size
            if len(starts):
                return RawRecords(data, starts)

    def _order(self) -> None:
        """Keeps loads before from being done after, which x86_64 does by itself: a lock taken twice."""
        if self._weakly_ordered:
            for _ in range(2):
                with self._fence:
                    pass

    def close(self) -> None:
        del self._consumer, self._producer, self._data
        self._consumer_page.close()
        self._producer_pages.close()

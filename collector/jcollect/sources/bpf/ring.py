"""Maps a BPF ring buffer, which the drain (records/c/ring.c) reads without a system call.

Layout (kernel/bpf/ringbuf.c): the consumer position is in a writable page at offset 0; the producer position
is in a read-only page after it, followed by the data. The kernel offers the data twice in a row, so that a
record that continues at the start is in one piece. The drain needs it only once, which uses half the memory.
Each record has a header (ring_header in layout/record.toml) and starts at a multiple of 8 bytes.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from jcollect.layout.drain import RingMemory


class Ring:
    """One ring buffer for one reader, until `close`. `memory` holds its addresses."""

    def __init__(self, descriptor: int, data_bytes: int) -> None:
        """`descriptor` is the map's, and `data_bytes` its size: a power of two times the page size."""
        page = mmap.PAGESIZE
        self._consumer_page = mmap.mmap(descriptor, page)
        self._producer_pages = mmap.mmap(
            descriptor, page + data_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        consumer = ctypes.addressof(ctypes.c_char.from_buffer(self._consumer_page))
        producer = np.frombuffer(self._producer_pages, np.uint8).ctypes.data
        self.memory = RingMemory(consumer=consumer, producer=producer, data=producer + page, bytes=data_bytes)

    def used(self) -> int:
        """Returns the approximate number of bytes that have been written and not read yet."""
        consumer, producer = (
            ctypes.c_uint64.from_address(at) for at in (self.memory.consumer, self.memory.producer)
        )
        return max(0, int(producer.value) - int(consumer.value))

    def close(self) -> None:
        del self.memory
        self._consumer_page.close()
        self._producer_pages.close()

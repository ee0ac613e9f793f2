"""The mapping of a BPF ring buffer, which is read without a call to the kernel: see drain.c.

Layout (kernel/bpf/ringbuf.c): consumer position in a writable page at offset 0; producer position
in a read-only page at 4096, followed by the data. The kernel offers the data twice in a row, so that a
record that goes on at the start lies in one piece; once is enough for drain.c, and half the memory. Each
record has a header of 8 bytes: u32 length, with bit 31 set while it is being written (busy) and bit 30
where it was given up (discarded); u32 for the kernel. Records start at multiples of 8 bytes.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from jcollect.sources.bpf.drain import RingMemory


class Ring:
    """One ring buffer for one reader, until `close`; `memory` says where it is."""

    def __init__(self, descriptor: int, data_bytes: int) -> None:
        """`descriptor` is the map's; `data_bytes` its size, a power of two times the page size."""
        page = mmap.PAGESIZE
        self._consumer_page = mmap.mmap(descriptor, page)
        self._producer_pages = mmap.mmap(
            descriptor, page + data_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        consumer = ctypes.addressof(ctypes.c_char.from_buffer(self._consumer_page))
        producer = np.frombuffer(self._producer_pages, np.uint8).ctypes.data
        self.memory = RingMemory(consumer, producer, producer + page, data_bytes)

    def used(self) -> int:
        """Bytes that have been written and not read, at about this moment."""
        consumer, producer = (
            ctypes.c_uint64.from_address(place) for place in (self.memory.consumer, self.memory.producer)
        )
        return max(0, int(producer.value) - int(consumer.value))

    def close(self) -> None:
        del self.memory
        self._consumer_page.close()
        self._producer_pages.close()

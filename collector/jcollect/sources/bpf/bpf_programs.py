"""Makes the maps, loads the compiled bpf/events.c with them, and gives access to what is in them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jcollect.layout.record import ProbeCounts
from jcollect.sources.bpf.bpf_syscalls import BPF_TRACE_UPROBE_MULTI
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.kernel import Kernel

# One row per possible CPU, one column per probe; written by the BPF program.
COUNTS = np.dtype(ProbeCounts)
# The kernel keeps all of them in memory, used or not. Where 128 CPUs and 200,000 probes would want 400 MB,
# CPUs share rows.
_MOST_COUNTER_BYTES = 64 << 20


class BpfPrograms:
    """The handlers and their maps, until `close`.

    `ring_fd` is the BPF ring buffer, with `ring_bytes` of data. `hits` and `lost` read the counters
    straight from the kernel's memory, without a call; `used` says how many probe ids are given out, so
    that no more are read.
    """

    def __init__(
        self,
        capacity: int,
        ring_pages: int,
        compilation: Compilation | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """For probe ids below `capacity`, and `ring_pages` that are a power of two. Raises JcollectError.

        Takes over a `compilation` that is under way, and starts one where there is none. `without` as in
        kernel.py.
        """
        self.kernel = Kernel(without)
        self.capacity = capacity
        self.used = 0
        self.ring_bytes = ring_pages * mmap.PAGESIZE
        rows = _rows(capacity)
        size = capacity * rows * COUNTS.itemsize
        self._descriptors: list[int] = []
        compilation = compilation or Compilation.start()
        try:
            # Before anything is waited for: a kernel that is too old says so here.
            self.ring_fd = self._kept(self.kernel.create_ring_buffer("events", self.ring_bytes))
            counters = self._kept(self.kernel.create_array("counters", COUNTS.itemsize, capacity * rows))
            self._program = compilation.result()
            self._memory = mmap.mmap(counters, _page_aligned(size), mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            self._close_descriptors()
            raise
        finally:
            compilation.close()
        self._maps = (self.ring_fd, counters)
        self._numbers = (capacity, rows - 1)
        self._counts = np.frombuffer(self._memory, COUNTS, capacity * rows).reshape(rows, capacity)

    def load_for_uprobe_multi(self) -> int:
        """The handler's descriptor; kernels without such links may take it. Raises JcollectError."""
        return self._load("probe_fired", BPF_TRACE_UPROBE_MULTI)

    def load_for_perf_event(self) -> int:
        """The handler's descriptor. Raises JcollectError."""
        return self._load("probe_fired")

    def load_empty_for_uprobe_multi(self) -> int:
        """The descriptor of a handler that does nothing, for trying attach points. Raises JcollectError."""
        return self._load("do_nothing", BPF_TRACE_UPROBE_MULTI)

    def _load(self, function: str, attach_type: int = 0) -> int:
        code = self._program.linked(function, self._maps, self._numbers)
        return self._kept(self.kernel.load_program(function, code, self._program.license, attach_type))

    def hits(self) -> npt.NDArray[np.uint64]:
        """How often each probe fired since the start, by probe id: uint64."""
        return self._sum("hits")

    def lost(self) -> npt.NDArray[np.uint64]:
        """How many of those found no room in the ring, by probe id: uint64."""
        return self._sum("lost")

    def _sum(self, column: str) -> npt.NDArray[np.uint64]:
        total = np.zeros(self.capacity, np.uint64)
        self._counts[column][:, : self.used].sum(axis=0, out=total[: self.used])
        return total

    def close(self) -> None:
        """Frees programs and maps; links must be closed before. Counts read before stay valid."""
        self._counts = self._counts.copy()
        self._memory.close()
        self._close_descriptors()

    def _kept(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def _close_descriptors(self) -> None:
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)


def _rows(capacity: int) -> int:
    """Of counters: a power of two, because finding one's row by a mask is quicker than by division."""
    most = max(1, _MOST_COUNTER_BYTES // (capacity * COUNTS.itemsize))
    wanted = 1 << (_possible_cpus() - 1).bit_length()
    return min(wanted, 1 << (most.bit_length() - 1))


def _possible_cpus() -> int:
    """One more than the largest CPU number that there can be, as in "0-1" or "0,2-7"."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.replace(",", "-").split("-")[-1]) + 1


def _page_aligned(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE

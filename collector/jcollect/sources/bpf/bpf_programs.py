"""Creates the maps, loads the compiled bpf/events.c, and reads the counters."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.layout.record import ProbeCounts
from jcollect.probes.site import SiteOperands
from jcollect.sources.bpf.bpf_syscalls import BPF_TRACE_UPROBE_MULTI, update_hash
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.cookie import OPERANDS_BYTES, packed_operands
from jcollect.sources.bpf.kernel import Kernel

# The programs for stubs, and for marks of any program.
STUB_FIRED, MARK_FIRED = "probe_fired", "mark_fired"
# Number of marks that are described at a time.
MOST_MARKS = 16384
_ID = struct.Struct("<I")
# One row per possible CPU, one column per probe; written by the BPF program.
COUNTS = np.dtype(ProbeCounts)
# Maximum size of all counters. The kernel keeps them in memory, used or not: 128 CPUs and 200,000 probes
# would need 400 MB, so CPUs share rows.
_MOST_COUNTER_BYTES = 64 << 20
# PROC_PID_INIT_INO: linux/proc_ns.h.
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC


class BpfPrograms:
    """The BPF programs and their maps, until `close`.

    `ring_fd` is the descriptor of the ring buffer, with `ring_bytes` of data. `hits` and `lost` read the
    counters directly from mapped kernel memory. They read only the first `used` probe IDs.
    """

    def __init__(
        self,
        capacity: int,
        ring_pages: int,
        compilation: Compilation | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Prepares for probe IDs below `capacity`. `ring_pages` is a power of two. Takes over a running
        `compilation`, or starts one. `without` as in kernel.py. Raises JcollectError.
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
            # Do this before waiting for the compiler: it fails at once on a kernel that is too old.
            self.ring_fd = self._kept(self.kernel.create_ring_buffer("events", self.ring_bytes))
            counters = self._kept(self.kernel.create_array("counters", COUNTS.itemsize, capacity * rows))
            self._arguments = self._kept(
                self.kernel.create_hash("arguments", _ID.size, OPERANDS_BYTES, MOST_MARKS)
            )
            self._program = compilation.result()
            self._memory = mmap.mmap(counters, _page_aligned(size), mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            self._close_descriptors()
            raise
        finally:
            compilation.close()
        self._maps = (self.ring_fd, counters, self._arguments)
        self._numbers = (capacity, rows - 1, *own_pid_namespace())
        self._counts = np.frombuffer(self._memory, COUNTS, capacity * rows).reshape(rows, capacity)

    def load_for_uprobe_multi(self, function: str = STUB_FIRED) -> int:
        """Returns the descriptor of the program for stubs, or MARK_FIRED. Kernels without such links may load
        it as well. Raises JcollectError."""
        return self._load(function, BPF_TRACE_UPROBE_MULTI)

    def load_for_perf_event(self, function: str = STUB_FIRED) -> int:
        """Returns the descriptor of the program for stubs, or MARK_FIRED. Raises JcollectError."""
        return self._load(function)

    def describe_mark(self, number: int, operands: SiteOperands) -> None:
        """Tells MARK_FIRED where the arguments of the probe with this ID are. Raises JcollectError if there
        are too many."""
        try:
            update_hash(self._arguments, _ID.pack(number), packed_operands(operands))
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise JcollectError(
                f"cannot attach to more than {MOST_MARKS:,} USDT probes; choose fewer with --probe"
            ) from None

    def load_empty_for_uprobe_multi(self) -> int:
        """Returns the descriptor of a program that does nothing, to try attach points. Raises
        JcollectError."""
        return self._load("do_nothing", BPF_TRACE_UPROBE_MULTI)

    def _load(self, function: str, attach_type: int = 0) -> int:
        code = self._program.linked(function, self._maps, self._numbers)
        return self._kept(self.kernel.load_program(function, code, self._program.license, attach_type))

    def hits(self) -> npt.NDArray[np.uint64]:
        """Returns the number of firings since the start, by probe ID: uint64."""
        return self._sum("hits")

    def lost(self) -> npt.NDArray[np.uint64]:
        """Returns the number of firings that did not fit into the ring buffer, by probe ID: uint64."""
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
    """Returns the number of rows of counters: a power of two, because a mask is faster than a division."""
    most = max(1, _MOST_COUNTER_BYTES // (capacity * COUNTS.itemsize))
    wanted = 1 << (_possible_cpus() - 1).bit_length()
    return min(wanted, 1 << (most.bit_length() - 1))


def own_pid_namespace() -> tuple[int, int]:
    """Returns device, as the kernel encodes it, and inode number of our PID namespace; zeros for the initial
    one."""
    about = os.stat("/proc/self/ns/pid")
    if about.st_ino == _INITIAL_PID_NAMESPACE:
        return 0, 0
    return os.major(about.st_dev) << 20 | os.minor(about.st_dev), about.st_ino


def _possible_cpus() -> int:
    """Returns the largest possible CPU number plus one. The file holds ranges such as "0-1" or "0,2-7"."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.replace(",", "-").split("-")[-1]) + 1


def _page_aligned(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE

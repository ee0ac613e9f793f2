"""Loads the BPF programs of bpf/threads.c, and attaches them to the kernel's tracepoints."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import platform
import struct
from collections.abc import Collection
from pathlib import Path

import numpy as np

from jcollect.errors import JcollectError
from jcollect.layout.threads import THREAD_COUNTS_SIZE
from jcollect.sources.bpf.bpf_programs import own_pid_namespace
from jcollect.sources.bpf.bpf_syscalls import (
    BPF_PROG_TYPE_RAW_TRACEPOINT,
    BPF_TRACE_UPROBE_MULTI,
    delete_from_hash,
    open_raw_tracepoint,
    update_hash,
)
from jcollect.sources.bpf.btf import offsets_of_kernel
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.kernel import Kernel
from jcollect.sources.bpf.program import THREADS

CPU, FAULTS, SYSCALLS = "cpu", "faults", "syscalls"
# Tracepoints by part, and the functions that are attached to them.
_TRACEPOINTS = {
    CPU: (("sched_wakeup", "woken"), ("sched_wakeup_new", "woken"), ("sched_switch", "switched")),
    FAULTS: (("page_fault_user", "faulted"),),
    SYSCALLS: (("sys_exit", "left_call"), ("sys_enter", "entered_call")),
}
# 131,072 records.
RING_BYTES = 4 << 20
MOST_PROCESSES = 4096
# System calls by which uprobes of the kernel trap: uretprobe, uprobe.
_TRAPS = {"x86_64": (335, 336)}
_NO_TRAPS = (1 << 31, 0)
_TASK = (("pid",), ("tgid",), ("sched_info", "last_arrival"))
_KEY = struct.Struct("<I")
_PID_MAX = Path("/proc/sys/kernel/pid_max")


class ThreadPrograms:
    """The programs and their maps, until `close`. Nothing is reported before a process is watched.

    `ring_fd` is the descriptor of the ring buffer.
    """

    def __init__(self, parts: Collection[str], compilation: Compilation | None = None) -> None:
        """Attaches the programs of these parts. Takes over a running compilation, or starts one. Raises
        JcollectError."""
        compilation = compilation or Compilation.start(source=THREADS)
        self._descriptors: list[int] = []
        try:
            self._open(parts, compilation)
        except BaseException:
            self._close_descriptors()
            raise
        finally:
            compilation.close()

    def _open(self, parts: Collection[str], compilation: Compilation) -> None:
        if any(own_pid_namespace()):
            raise JcollectError(
                "cannot explain calls: jcollect runs in a PID namespace of its own, where threads have other "
                "IDs; run it in the host's, as docker run --pid=host does"
            )
        self.kernel = kernel = Kernel()
        self.ring_fd = self._kept(kernel.create_ring_buffer("records", RING_BYTES))
        counts = self._kept(kernel.create_array("counts", THREAD_COUNTS_SIZE, 1))
        self._watched = self._kept(kernel.create_hash("watched", _KEY.size, _KEY.size, MOST_PROCESSES))
        program = self._program = compilation.result()
        pid, tgid, arrival = offsets_of_kernel("task_struct", _TASK)
        if tgid != pid + _KEY.size:
            raise JcollectError("cannot explain calls: this kernel's task_struct has another order")
        numbers = (pid, arrival, *_TRAPS.get(platform.machine(), _NO_TRAPS))
        maps = (self.ring_fd, counts, self._watched)
        self._maps, self._numbers = maps, numbers
        self._counts = mmap.mmap(counts, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        for part in _TRACEPOINTS:
            if part not in parts:
                continue
            for tracepoint, function in _TRACEPOINTS[part]:
                code = program.linked(function, maps, numbers)
                loaded = kernel.load_program(
                    function, code, program.license, program_type=BPF_PROG_TYPE_RAW_TRACEPOINT
                )
                self._kept(loaded)
                self._kept(_attach(tracepoint, loaded))

    def load_for_uprobe_multi(self) -> int:
        """Returns the descriptor of the program for mounts of virtual threads. Raises JcollectError."""
        return self._load("moved", BPF_TRACE_UPROBE_MULTI)

    def load_for_perf_event(self) -> int:
        """Returns the descriptor of the program for mounts of virtual threads. Raises JcollectError."""
        return self._load("moved")

    def load_empty_for_uprobe_multi(self) -> int:
        """Returns the descriptor of a program that does nothing, to try attach points. Raises
        JcollectError."""
        return self._load("do_nothing", BPF_TRACE_UPROBE_MULTI)

    def _load(self, function: str, attach_type: int = 0) -> int:
        code = self._program.linked(function, self._maps, self._numbers)
        return self._kept(self.kernel.load_program(function, code, self._program.license, attach_type))

    def watch(self, process: int) -> None:
        """Reports the threads of a process from now on. Raises JcollectError if there are too many."""
        try:
            update_hash(self._watched, _KEY.pack(process), _KEY.pack(1))
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise JcollectError(
                f"cannot explain calls of PID {process}: {MOST_PROCESSES:,} processes are watched already"
            ) from None

    def unwatch(self, process: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            delete_from_hash(self._watched, _KEY.pack(process))

    def lost(self) -> int:
        """Returns the number of records for which the ring buffer had no room."""
        return int(np.frombuffer(self._counts, np.uint64, 1)[0])

    def close(self) -> None:
        self._counts.close()
        self._close_descriptors()

    def _kept(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def _close_descriptors(self) -> None:
        # The links first.
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in reversed(descriptors):
            os.close(descriptor)


def most_threads() -> int:
    """Returns the number above all thread IDs of this machine."""
    return int(_PID_MAX.read_text())


def _attach(tracepoint: str, program: int) -> int:
    try:
        return open_raw_tracepoint(tracepoint, program)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            reason = f"{error.strerror}; run with sudo"
        elif error.errno == errno.EINVAL:
            # The program reads an argument that the tracepoint does not have.
            reason = "it has other arguments; run Linux 5.18 or later"
        elif error.errno == errno.ENOENT:
            reason = f"this kernel for {platform.machine()} does not have it"
        else:
            reason = str(error.strerror)
        raise JcollectError(
            f"cannot explain calls: cannot attach to the tracepoint {tracepoint}: {reason}"
        ) from None

"""Compiles bpf/events.c with bcc, loads it, and gives access to its maps."""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import jcollect
from jcollect.attach.bpf_syscalls import BPF_TRACE_UPROBE_MULTI
from jcollect.errors import JcollectError

# One row per possible CPU, one column per probe; written by the handler.
COUNTS = np.dtype([("hits", "<u8"), ("lost", "<u8")])
# The kernel keeps all of them in memory, used or not. Where 128 CPUs and 200,000 probes would want 400 MB,
# CPUs share rows.
_MOST_COUNTER_BYTES = 64 << 20

_ARCHITECTURES = {"x86_64": "JPROBE_X86_64", "aarch64": "JPROBE_AARCH64"}


class Handlers:
    """The compiled handlers and their maps, until `close`.

    `ring_fd` is the BPF ring buffer, with `ring_bytes` of data. `hits` and `lost` read the counters
    straight from the kernel's memory, without a call; `used` says how many probe ids are given out, so
    that no more are read.
    """

    def __init__(self, capacity: int, ring_pages: int) -> None:
        """For probe ids below `capacity`. Raises JcollectError."""
        self._bcc = _import_bcc()
        self.capacity = capacity
        self.used = 0
        rows = max(1, min(_possible_cpus(), _MOST_COUNTER_BYTES // (capacity * COUNTS.itemsize)))
        self.ring_bytes = ring_pages * mmap.PAGESIZE
        machine = platform.machine()
        if machine not in _ARCHITECTURES:
            raise JcollectError(f"jcollect traces on x86_64 and aarch64, and this machine is {machine}")
        source = bpf_directory()
        # bcc looks here for kernel headers; ours are enough for handlers of user-space probes.
        os.environ["BCC_KERNEL_SOURCE"] = str(source)
        flags = [
            f"-DJPROBE_PROBES={capacity}",
            f"-DJPROBE_ROWS={rows}",
            f"-DJPROBE_RING_PAGES={ring_pages}",
            f"-D{_ARCHITECTURES[machine]}",
            "-Wno-macro-redefined",
        ]
        try:
            self._module = self._bcc.BPF(text=(source / "events.c").read_bytes(), cflags=flags)
        except Exception as error:
            raise JcollectError(
                f"bcc cannot compile {source / 'events.c'} on Linux {platform.release()}: {error}"
            ) from None
        self.ring_fd: int = self._module[b"events"].map_fd
        self._memory = mmap.mmap(
            self._module[b"counters"].map_fd,
            _page_aligned(capacity * rows * COUNTS.itemsize),
            mmap.MAP_SHARED,
            mmap.PROT_READ,
        )
        self._counts = np.frombuffer(self._memory, COUNTS, capacity * rows).reshape(rows, capacity)

    def load_for_uprobe_multi(self) -> int:
        """The handler's descriptor. Raises OSError on kernels without uprobe_multi links."""
        return self._load(BPF_TRACE_UPROBE_MULTI)

    def load_for_perf_event(self) -> int:
        """The handler's descriptor. Raises OSError on kernels without attach cookies (before 5.15)."""
        return self._load(-1)

    def load_empty_for_uprobe_multi(self) -> int:
        """The descriptor of a handler that does nothing, for trying out attach points."""
        return self._load(BPF_TRACE_UPROBE_MULTI, b"do_nothing")

    def _load(self, attach_type: int, name: bytes = b"probe_fired") -> int:
        # bcc remembers a function by its name alone, whatever it was loaded for.
        self._module.funcs.pop(name, None)
        try:
            # On failure bcc prints the verifier's log: for us a failure is a reason to try another way.
            with _silent_stderr():
                function = self._module.load_func(name, self._bcc.BPF.KPROBE, None, attach_type)
        except Exception as error:
            raise OSError(22, str(error)) from None
        descriptor: int = function.fd
        return descriptor

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
        self._module.cleanup()


def bpf_directory() -> Path:
    """Where events.c and its headers are: inside an installed package, or beside collector/ in a checkout."""
    package = Path(jcollect.__file__).parent
    installed = package / "_bpf"
    return installed if installed.is_dir() else package.parent.parent / "bpf"


def _import_bcc() -> Any:
    try:
        import bcc
    except ImportError:
        raise JcollectError(
            "bcc is missing: install python3-bpfcc, and run jcollect with the distribution's python3 "
            "(in a venv made with --system-site-packages)"
        ) from None
    return bcc


def _possible_cpus() -> int:
    """One more than the largest CPU number that there can be, as in "0-1" or "0,2-7"."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.replace(",", "-").split("-")[-1]) + 1


def _page_aligned(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)

"""Finds the fastest attach point of a stub by testing a stub in this process: version numbers do not
determine it.

layout/stub_library.toml describes a stub. Every kernel can attach to the 1-byte nop, by a breakpoint.
Kernels that make a call of the 5-byte nop (6.18) are about 30% faster there; later ones do that with the
10-byte nop. A wrong guess is slower (the nop is single-stepped) or rejected (error 524), so the bytes decide:
has the kernel rewritten them into its call?
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
from collections.abc import Iterator
from typing import Protocol

from jcollect.errors import JcollectError
from jcollect.layout.stub_library import (
    STUB_AARCH64_NOP,
    STUB_X86_64_CODE,
    STUB_X86_64_NOP,
    STUB_X86_64_NOP5,
    STUB_X86_64_NOP10,
)
from jcollect.sources.bpf.bpf_syscalls import link_uprobe_multi
from jcollect.sources.bpf.kernel import Kernel

# Offset in the stub, and the first bytes there once the kernel has rewritten them into a call.
_CANDIDATES = ((STUB_X86_64_NOP10, b"\x48\x8d\x64\x24\x80\xe8"), (STUB_X86_64_NOP5, b"\xe8"))
# Number of firings. The kernel rewrites the bytes at the first one.
_TRIES = 8


class StubPrograms(Protocol):
    """Loads BPF programs for stubs. Its methods raise JcollectError."""

    @property
    def kernel(self) -> Kernel: ...

    def load_for_uprobe_multi(self) -> int:
        """Returns the descriptor of the program."""

    def load_for_perf_event(self) -> int:
        """Returns the descriptor of the program."""

    def load_empty_for_uprobe_multi(self) -> int:
        """Returns the descriptor of a program that does nothing."""


def find_attach_point(programs: StubPrograms) -> int:
    """Returns the attach point, in bytes from the start of a stub: the fastest one that works."""
    if platform.machine() != "x86_64":
        return STUB_AARCH64_NOP
    try:
        program = programs.load_empty_for_uprobe_multi()
        with _own_stub() as (file, address):
            for offset, call in _CANDIDATES:
                if _becomes_a_call(program, file, address, offset, call):
                    return offset
    except (OSError, JcollectError):
        pass  # No executable memfd here, for instance: the 1-byte nop always works.
    return STUB_X86_64_NOP


def _becomes_a_call(program: int, file: str, address: int, offset: int, call: bytes) -> bool:
    try:
        link = link_uprobe_multi(program, file, [offset], None, [0], os.getpid())
    except OSError:
        return False
    try:
        fire = ctypes.CFUNCTYPE(None)(address)
        for _ in range(_TRIES):
            fire()
        return ctypes.string_at(address + offset, len(call)) == call
    finally:
        os.close(link)


@contextlib.contextmanager
def _own_stub() -> Iterator[tuple[str, int]]:
    """Yields the path of a file with a stub, mapped as the agent maps its own, and the address of the
    stub."""
    descriptor = os.memfd_create("jprobe-attach-point")
    try:
        os.write(descriptor, STUB_X86_64_CODE.ljust(mmap.PAGESIZE, b"\xcc"))
        # uprobes want a private, executable mapping of a file that is not writable.
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        address = libc.mmap(
            None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, descriptor, 0
        )
        if address is None or address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "mmap")
        try:
            yield f"/proc/self/fd/{descriptor}", address
        finally:
            libc.munmap(address, mmap.PAGESIZE)
    finally:
        os.close(descriptor)

"""Limits how much freed memory malloc keeps, and the address space that it reserves."""

from __future__ import annotations

import ctypes
import os

# malloc.h of glibc. By default, threads take turns at up to 8 arenas per CPU. Each arena keeps what its
# threads have freed, and streams come and go in many threads. It also reserves 64 or 128 MiB of address
# space: if that is limited (ulimit -v), threads are left without stacks, and gRPC tries for 10 s to start
# one, and aborts.
_M_ARENA_MAX = -8
# Python's lock lets one thread at a time allocate; the other arena is for gRPC.
_ARENAS = 2
_SETTINGS = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def limit_arenas() -> None:
    """Has malloc use few arenas, unless the environment decides that. For a process with one thread."""
    if any(name in os.environ for name in _SETTINGS):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl has none, and no arenas.
        libc.mallopt(_M_ARENA_MAX, _ARENAS)

"""Saves address space where it is limited (ulimit -v)."""

from __future__ import annotations

import ctypes
import resource

# malloc.h of glibc. By default it reserves 64 or 128 MiB for each of up to 8 arenas per CPU, and threads are
# left without stacks: gRPC then tries for 10 s to start one, and aborts.
_M_ARENA_MAX = -8
_ARENAS = 2


def spare_address_space() -> None:
    """Reserves less for malloc if address space is limited. For a process with one thread."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none, and no arenas.
            libc.mallopt(_M_ARENA_MAX, _ARENAS)

"""The typed face of drain.c: its structures, which are the same there, and the shared object itself."""

from __future__ import annotations

import ctypes
import functools
import platform
from pathlib import Path

from jcollect.built import find_built
from jcollect.errors import JcollectError

# What both functions return.
TORN, DONE, MORE, STOPPED = -1, 0, 1, 2

# Of a record in the arena.
LEAST_RECORD_BYTES = 32
STAGED_BYTES = 24  # sizeof(struct staged)


class RingMemory(ctypes.Structure):
    """struct ring: addresses of the two positions and the data, and the latter's size in bytes."""

    _fields_ = (
        ("consumer", ctypes.c_void_p),
        ("producer", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
    )


class Pace(ctypes.Structure):
    """struct pace: how long to hold back, ns, and how often to look into the ring, ms."""

    _fields_ = (
        ("window", ctypes.c_uint64),
        ("shortest_pause", ctypes.c_int32),
        ("longest_pause", ctypes.c_int32),
    )


class DrainState(ctypes.Structure):
    """struct drain."""

    _fields_ = (
        ("probes", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
        ("utc_offset", ctypes.c_uint64),
        ("most_records", ctypes.c_uint64),
        ("most_events", ctypes.c_uint64),
        ("most_bytes", ctypes.c_uint64),
        ("arena_bytes", ctypes.c_uint64),
        ("arena", ctypes.c_void_p),
        ("other_arena", ctypes.c_void_p),
        ("staged", ctypes.c_void_p),
        ("spare", ctypes.c_void_p),
        ("seq", ctypes.c_void_p),
        ("time", ctypes.c_void_p),
        ("probe", ctypes.c_void_p),
        ("tid", ctypes.c_void_p),
        ("thread", ctypes.c_void_p),
        ("duration", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("text", ctypes.c_void_p),
        ("value_counts", ctypes.c_void_p),
        ("text_sizes", ctypes.c_void_p),
        ("senseless", ctypes.c_void_p),
        ("event_count", ctypes.c_uint64),
        ("values_count", ctypes.c_uint64),
        ("text_bytes", ctypes.c_uint64),
        ("senseless_count", ctypes.c_uint64),
        ("first", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("arena_used", ctypes.c_uint64),
        ("staged_bytes", ctypes.c_uint64),
        ("next_seq", ctypes.c_uint64),
        ("pause", ctypes.c_uint64),
        ("newest", ctypes.c_uint64),
        ("out_of_order", ctypes.c_uint64),
    )


class Library:
    """The functions of drain.c, which run without the interpreter's lock."""

    def __init__(self, file: Path) -> None:
        """Raises JcollectError."""
        try:
            library = ctypes.CDLL(str(file))
            known = ctypes.c_uint64.in_dll(library, "jprobe_drain_bytes").value
        except (OSError, ValueError) as error:
            raise JcollectError(f"cannot load {file}: {error}; run make build") from None
        if known != ctypes.sizeof(DrainState):
            raise JcollectError(f"{file} was built from another version's drain.c; run make build")
        both = (ctypes.POINTER(DrainState), ctypes.POINTER(RingMemory))
        self._drain = library.jprobe_drain
        self._drain.argtypes = (*both, ctypes.c_uint64)
        self._wait_and_drain = library.jprobe_wait_and_drain
        self._wait_and_drain.argtypes = (*both, ctypes.POINTER(Pace), ctypes.c_int)

    def drain(self, state: DrainState, ring: RingMemory, until: int) -> int:
        """jprobe_drain."""
        return int(self._drain(ctypes.byref(state), ctypes.byref(ring), until))

    def wait_and_drain(self, state: DrainState, ring: RingMemory, pace: Pace, stop: int) -> int:
        """jprobe_wait_and_drain."""
        return int(self._wait_and_drain(ctypes.byref(state), ctypes.byref(ring), ctypes.byref(pace), stop))


@functools.cache
def load_library() -> Library:
    """Raises JcollectError."""
    name = f"linux-{platform.machine()}/drain.so"
    return Library(find_built(f"_native/{name}", f"build/native/{name}", "jcollect cannot read events"))

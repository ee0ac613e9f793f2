"""The typed binding of the C code in c/: the drain, on the structures of layout/drain.toml (drain.h); what
threads do, on those of layout/threads.toml (threads.h); and system calls that a kill must not interrupt
(shielded.h)."""

from __future__ import annotations

import ctypes
import functools
import platform
from pathlib import Path

from jcollect.built import find_built
from jcollect.errors import JcollectError
from jcollect.layout import DIGEST
from jcollect.layout.drain import DrainState, Pace, PoolMemory, Pools, RingMemory
from jcollect.layout.threads import Calls, ThreadRecord, Threads


class Library:
    """The functions, which run without the interpreter's lock."""

    def __init__(self, file: Path) -> None:
        """Raises JcollectError."""
        try:
            library = ctypes.CDLL(str(file))
            digest = ctypes.c_uint64.in_dll(library, "jprobe_layout_digest").value
        except (OSError, ValueError) as error:
            raise JcollectError(f"cannot load {file}: {error}; run make build") from None
        if digest != DIGEST:
            raise JcollectError(f"{file} was built from another version's layout/; run make build")
        both = (ctypes.POINTER(DrainState), ctypes.POINTER(RingMemory))
        self._drain = library.jprobe_drain
        self._drain.argtypes = (*both, ctypes.c_uint64)
        self._wait_and_drain = library.jprobe_wait_and_drain
        self._wait_and_drain.argtypes = (*both, ctypes.POINTER(Pace), ctypes.c_int)
        self._drain_pools = library.jprobe_drain_pools
        self._drain_pools.argtypes = (ctypes.POINTER(DrainState), ctypes.POINTER(Pools), ctypes.c_uint64)
        self._discard_pool = library.jprobe_discard_pool
        self._discard_pool.restype = None
        self._discard_pool.argtypes = (ctypes.POINTER(PoolMemory),)
        self._are_quiet = library.jprobe_are_quiet
        self._are_quiet.argtypes = (ctypes.POINTER(Pools),)
        self._oldest_time = library.jprobe_oldest_time
        self._oldest_time.restype = ctypes.c_uint64
        self._oldest_time.argtypes = (ctypes.POINTER(PoolMemory),)
        self._youngest_time = library.jprobe_youngest_time
        self._youngest_time.restype = ctypes.c_uint64
        self._youngest_time.argtypes = (ctypes.POINTER(PoolMemory), ctypes.c_uint64)
        self._await_trigger = library.jprobe_await_trigger
        self._stop_waiting = library.jprobe_stop_waiting
        for each in (self._await_trigger, self._stop_waiting):
            each.restype = None
            each.argtypes = (ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32))
        of_threads = ctypes.POINTER(Threads)
        self._read_threads = library.jprobe_read_threads
        self._read_threads.argtypes = (of_threads, ctypes.POINTER(RingMemory))
        self._add_thread_record = library.jprobe_add_thread_record
        self._add_thread_record.restype = None
        self._add_thread_record.argtypes = (of_threads, ctypes.POINTER(ThreadRecord))
        self._lose_thread_records = library.jprobe_lose_thread_records
        self._lose_thread_records.restype = None
        self._lose_thread_records.argtypes = (of_threads, ctypes.c_uint64, ctypes.c_uint64)
        self._explain_calls = library.jprobe_explain_calls
        self._explain_calls.restype = None
        self._explain_calls.argtypes = (of_threads, ctypes.POINTER(Calls))
        self._create_link = library.jprobe_create_link
        self._create_link.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self._close_links = library.jprobe_close_links
        self._close_links.restype = None
        self._close_links.argtypes = (ctypes.POINTER(ctypes.c_int), ctypes.c_size_t)

    def drain(self, state: DrainState, ring: RingMemory, until: int) -> int:
        """jprobe_drain."""
        return int(self._drain(ctypes.byref(state), ctypes.byref(ring), until))

    def wait_and_drain(self, state: DrainState, ring: RingMemory, pace: Pace, stop: int) -> int:
        """jprobe_wait_and_drain."""
        return int(self._wait_and_drain(ctypes.byref(state), ctypes.byref(ring), ctypes.byref(pace), stop))

    def drain_pools(self, state: DrainState, pools: Pools, until: int) -> int:
        """jprobe_drain_pools."""
        return int(self._drain_pools(ctypes.byref(state), ctypes.byref(pools), until))

    def discard_pool(self, pool: PoolMemory) -> None:
        """jprobe_discard_pool."""
        self._discard_pool(ctypes.byref(pool))

    def are_quiet(self, pools: Pools) -> bool:
        """jprobe_are_quiet."""
        return bool(self._are_quiet(ctypes.byref(pools)))

    def oldest_time(self, pool: PoolMemory) -> int:
        """jprobe_oldest_time."""
        return int(self._oldest_time(ctypes.byref(pool)))

    def youngest_time(self, pool: PoolMemory, latest: int) -> int:
        """jprobe_youngest_time."""
        return int(self._youngest_time(ctypes.byref(pool), latest))

    def await_trigger(self, pool: int, stop: ctypes.c_uint32) -> None:
        """jprobe_await_trigger, for the pool at this address."""
        self._await_trigger(pool, ctypes.byref(stop))

    def stop_waiting(self, pool: int, stop: ctypes.c_uint32) -> None:
        """jprobe_stop_waiting, for the pool at this address."""
        self._stop_waiting(pool, ctypes.byref(stop))

    def read_threads(self, threads: Threads, ring: RingMemory) -> int:
        """jprobe_read_threads."""
        return int(self._read_threads(ctypes.byref(threads), ctypes.byref(ring)))

    def add_thread_record(self, threads: Threads, record: ThreadRecord) -> None:
        """jprobe_add_thread_record."""
        self._add_thread_record(ctypes.byref(threads), ctypes.byref(record))

    def lose_thread_records(self, threads: Threads, begin: int, end: int) -> None:
        """jprobe_lose_thread_records."""
        self._lose_thread_records(ctypes.byref(threads), begin, end)

    def explain_calls(self, threads: Threads, calls: Calls) -> None:
        """jprobe_explain_calls."""
        self._explain_calls(ctypes.byref(threads), ctypes.byref(calls))

    def create_link(self, attributes: ctypes.Structure) -> int:
        """jprobe_create_link."""
        return int(self._create_link(ctypes.byref(attributes), ctypes.sizeof(attributes)))

    def close_links(self, links: ctypes.Array[ctypes.c_int]) -> None:
        """jprobe_close_links."""
        self._close_links(links, len(links))


@functools.cache
def load_library() -> Library:
    """Raises JcollectError."""
    name = f"linux-{platform.machine()}/drain.so"
    return Library(find_built(f"_native/{name}", f"build/native/{name}", "jcollect cannot read events"))

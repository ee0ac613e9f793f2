"""Opens and maps the pool of one process, for one reader: the drain (records/c/pools.c)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.layout.direct import (
    DIRECT_MODE_RECORDER,
    DIRECT_MODE_STREAM,
    DIRECT_POOL_LOST,
    DIRECT_POOL_MODE,
    DIRECT_POOL_OVERWRITTEN,
    DIRECT_POOL_RINGS,
    DIRECT_POOL_SIZE,
    DIRECT_POOL_TRIGGER_BEGAN,
    DIRECT_POOL_TRIGGER_NANOS,
    DIRECT_POOL_TRIGGER_THROW,
    DIRECT_POOL_TRIGGERED,
)
from jcollect.layout.drain import (
    NUMBER_PAGE_MOST,
    NUMBER_PAGE_SIZE,
    ChunkReading,
    PoolMemory,
    RingCount,
)
from jcollect.procfs.apart import apart
from jcollect.procfs.process import Process
from jcollect.procfs.sealed import open_sealed
from jcollect.sources.direct.numbers import Numbers
from jcollect.sources.direct.pool_layout import pool_layout
from jcollect.sources.direct.thread_ids import ThreadIds
from jcollect.sources.records.library import load_library

# Rings whose numbers are counted at a time: those of as many threads.
_RINGS = 4096
# Events that one CPU can write in a second; the fastest measured are a tenth of that.
_MOST_EVENTS_PER_SECOND = 200_000_000
_COUNTS = np.dtype(RingCount)
_READINGS = np.dtype(ChunkReading)
# struct flock of fcntl.h: type, whence, start, length, PID.
_LOCK = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_BUSY = (errno.EAGAIN, errno.EACCES)


class InUseError(OSError):
    """Another jcollect reads the pool."""


class Pool:
    """The mapped pool of a process, until `close`. It can be read after the process has exited.

    `identity` distinguishes it from one that the agent creates after it has given this one back. `memory` is
    for the drain.
    """

    def __init__(self, process: Process, descriptor: int, numbers: Numbers, is_new: bool) -> None:
        """Takes over the descriptor of a sealed memfd. Unless the pool is new, discards what is in it.

        Raises InUseError, and OSError if it is no pool.
        """
        self.process = process
        self.numbers = numbers
        self._descriptor = descriptor
        _lock(descriptor)
        about = os.fstat(descriptor)
        self.identity = (about.st_dev, about.st_ino)
        layout = pool_layout(os.pread(descriptor, DIRECT_POOL_SIZE, 0), about.st_size)
        self.data_bytes = layout.data_bytes
        self._begun = time.monotonic()
        self._threads = ThreadIds(process)
        self._mapping = mmap.mmap(descriptor, layout.end)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self._start = start
        chunks = layout.chunks
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "readings": np.zeros(chunks, _READINGS),
            "counts": np.zeros(_RINGS, _COUNTS),
        }
        self.memory = PoolMemory(
            pool=start,
            headers=start + layout.headers,
            queue=start + layout.queue,
            data=start + layout.data,
            small_chunks=layout.small_chunks,
            chunks=chunks,
            page_count=NUMBER_PAGE_MOST // NUMBER_PAGE_SIZE,
            count_mask=_RINGS - 1,
            is_nested=int(self._threads.is_nested),
            old_rings=0 if is_new else self._word(DIRECT_POOL_RINGS) & 0xFFFFFFFF,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )
        self._overwritten_before = self._overwritten_at_play = self._word(DIRECT_POOL_OVERWRITTEN)
        self.update()
        # The reader before may have been a flight recorder.
        ctypes.c_uint32.from_address(start + DIRECT_POOL_MODE).value = DIRECT_MODE_STREAM
        ctypes.c_uint32.from_address(start + DIRECT_POOL_TRIGGER_THROW).value = 0
        ctypes.c_uint64.from_address(start + DIRECT_POOL_TRIGGER_NANOS).value = 0
        if not is_new:
            load_library().discard_pool(self.memory)

    @staticmethod
    def open(process: Process, number: int, numbers: Numbers, is_new: bool) -> Pool:
        """Opens the pool behind a descriptor of the process. Raises InUseError and OSError."""
        (descriptor,) = apart(process, open_sealed, process.pid, number, True).descriptors
        try:
            return Pool(process, descriptor, numbers, is_new)
        except BaseException:
            os.close(descriptor)
            raise

    def forget_unread(self) -> None:
        """Takes note that the heap of unread chunks is empty: the next scan finds them again."""
        self._arrays["readings"]["is_unread"] = 0

    def update(self) -> None:
        """Passes the current numbers and thread IDs to the drain, which must not run."""
        self.memory.pages = self.numbers.pages.ctypes.data
        self.memory.ids = self.numbers.ids.ctypes.data
        self.memory.own_tids = self._threads.own.ctypes.data
        self.memory.tids = self._threads.ours.ctypes.data
        self.memory.tid_count = len(self._threads.own)

    def record(self, duration_ns: int, *, on_throw: bool) -> None:
        """Lets threads overwrite the oldest events from now on. A call that takes longer than `duration_ns`
        (0: none does), or an exception if `on_throw`, is a trigger."""
        self.memory.is_recorder = self.memory.is_idle = 1
        ctypes.c_uint32.from_address(self._start + DIRECT_POOL_TRIGGERED).value = 0
        ctypes.c_uint64.from_address(self._start + DIRECT_POOL_TRIGGER_NANOS).value = duration_ns
        ctypes.c_uint32.from_address(self._start + DIRECT_POOL_TRIGGER_THROW).value = int(on_throw)
        ctypes.c_uint32.from_address(self._start + DIRECT_POOL_MODE).value = DIRECT_MODE_RECORDER

    def play(self, oldest_ns: int, *, is_last: bool) -> None:
        """Lets the drain, which must not run, read what is recorded, and leave out events before `oldest_ns`.
        `is_last`: nothing is written any more."""
        self._overwritten_at_play = self._word(DIRECT_POOL_OVERWRITTEN)
        # A trigger during the delivery leads to the next one.
        ctypes.c_uint32.from_address(self._start + DIRECT_POOL_TRIGGERED).value = 0
        self.memory.oldest = oldest_ns
        self.memory.is_idle = 0
        if is_last:
            self.memory.is_recorder = 0

    def pause(self) -> None:
        """Lets the drain, which must not run, read nothing until `play`."""
        self.memory.is_idle = 1

    def await_trigger(self, stop: ctypes.c_uint32) -> None:
        """Waits for a trigger, or for `stop_waiting` with the same number. Uses no CPU meanwhile."""
        load_library().await_trigger(self._start, stop)

    def stop_waiting(self, stop: ctypes.c_uint32) -> None:
        """Ends `await_trigger` within a second. For any thread."""
        load_library().stop_waiting(self._start, stop)

    @property
    def trigger_began(self) -> int:
        """When the call began that was the last trigger, in ns of CLOCK_MONOTONIC, as the process claims."""
        return self._word(DIRECT_POOL_TRIGGER_BEGAN)

    def oldest_time(self) -> int:
        """Returns the time of the oldest event in the pool, as the process claims; at most now, which stands
        for an empty pool as well."""
        return min(load_library().oldest_time(self.memory), time.monotonic_ns())

    def youngest_time(self) -> int:
        """Returns the time of the youngest event in the pool that is not in the future; 0 if there is none.
        Looks at every event."""
        return load_library().youngest_time(self.memory, time.monotonic_ns())

    @property
    def overwritten(self) -> int:
        """Events that a recorder did not keep: those that threads have overwritten, as the process claims, as
        far as that is possible, and those that were too old at a trigger."""
        claimed = (self._word(DIRECT_POOL_OVERWRITTEN) - self._overwritten_before) % (1 << 64)
        possible = (time.monotonic() - self._begun) * _MOST_EVENTS_PER_SECOND * (os.cpu_count() or 1)
        return max(0, min(claimed, int(possible)) - self.memory.reread) + self.memory.expired

    @property
    def was_too_small(self) -> bool:
        """True if threads have overwritten events since the last `play`."""
        return self._word(DIRECT_POOL_OVERWRITTEN) != self._overwritten_at_play

    def find_threads(self) -> None:
        """Reads the thread IDs again if the drain has lacked one, and it is not too soon. The drain must not
        run."""
        if self.memory.lacked_tid and self._threads.read():
            self.memory.lacked_tid = 0
            self.update()

    @property
    def lost(self) -> int:
        """Events for which the threads have found no free chunk, as the process claims."""
        return self._word(DIRECT_POOL_LOST)

    @property
    def gaps(self) -> int:
        """Numbers that are missing among those that were read, of all rings: lost events."""
        counts = self._arrays["counts"]
        missing = (counts["end"] - counts["first"] - counts["records"]).sum(dtype=np.uint64)
        return (int(missing) + self.memory.gaps) % (1 << 64)

    def _word(self, offset: int) -> int:
        return int(ctypes.c_uint64.from_address(self._start + offset).value)

    def close(self) -> None:
        """Unmaps the pool. Another jcollect may read it from now on."""
        self._mapping.close()
        os.close(self._descriptor)


def identity_of(process: Process, number: int) -> tuple[int, int]:
    """Returns the identity of the pool behind a descriptor of the process. Raises OSError."""
    (descriptor,) = apart(process, open_sealed, process.pid, number).descriptors
    try:
        about = os.fstat(descriptor)
        return about.st_dev, about.st_ino
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Locks the file for this process until its descriptor is closed. Raises InUseError, OSError."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCK)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        raise InUseError(error.errno, "another jcollect reads it") from None

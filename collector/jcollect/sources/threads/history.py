"""The latest history of threads: the typed binding of records/c/threads.c, and the memory that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.layout.drain import DRAIN_DONE, DRAIN_TORN, RingMemory
from jcollect.layout.threads import MOUNT_MARK_SIZE, THREAD_MARK_SIZE, Calls, ThreadRecord, Threads
from jcollect.sources.columns import U32, U64
from jcollect.sources.records.library import load_library

# Marks of all threads together: five seconds at 100,000 switches per second. 48 MiB, of which pages are used
# as they are needed.
MARKS = 1 << 19
# Marks of all virtual threads together: a second at 65,000 mounts and unmounts each. 5 MiB, of which pages
# are used as they are needed.
MOUNTS = 1 << 17
# Virtual threads that have moved lately, in buckets of four. 1 MiB, as they are needed.
_BUCKETS = 1 << 15
_WAYS = 4
_RESULTS: Mapping[str, Any] = {
    "known": np.uint32,
    "on_cpu": np.uint64,
    "run_queue": np.uint64,
    "off_cpu": np.uint64,
    "unmounted": np.uint64,
    "voluntary": np.uint32,
    "involuntary": np.uint32,
    "faults": np.uint32,
    "syscalls": np.uint32,
    "syscall_nanos": np.uint64,
    "top_syscall": np.uint32,
    "top_nanos": np.uint64,
}


class ThreadHistory:
    """The history of all watched threads. For one thread at a time. Times are CLOCK_MONOTONIC in ns."""

    def __init__(self, threads: int, marks: int = MARKS, mounts: int = MOUNTS) -> None:
        """`threads` is above all thread IDs, `marks` and `mounts` are powers of two. Raises
        JcollectError."""
        self._library = load_library()
        self._marks = np.zeros(marks * THREAD_MARK_SIZE, np.uint8)
        self._last = np.zeros(threads, np.uint64)
        self._mounts = np.zeros(mounts * MOUNT_MARK_SIZE, np.uint8)
        self._mounted = np.zeros(_BUCKETS * _WAYS, np.uint64)
        self._carried = np.zeros(threads, np.uint64)
        self._threads = Threads(
            marks=self._marks.ctypes.data,
            last=self._last.ctypes.data,
            tids=threads,
            mask=marks - 1,
            next=1,
            mounts=self._mounts.ctypes.data,
            mount_mask=mounts - 1,
            mount_next=1,
            mounted=self._mounted.ctypes.data,
            mounted_mask=_BUCKETS - 1,
            carried=self._carried.ctypes.data,
        )

    @property
    def records(self) -> int:
        """Number of records that were read."""
        return int(self._threads.records)

    @property
    def broken(self) -> int:
        """Number of changes of state that were missing, those that were repaired included."""
        return int(self._threads.broken)

    @property
    def repaired(self) -> int:
        return int(self._threads.repaired)

    def read(self, ring: RingMemory) -> bool:
        """Takes all records out of a ring buffer; returns false if one is still being written, behind which
        there may be others. Raises JcollectError if it is corrupted."""
        result = self._library.read_threads(self._threads, ring)
        if result == DRAIN_TORN:
            raise JcollectError("cannot explain calls: the ring buffer is corrupted; attach again")
        return result == DRAIN_DONE

    def add(self, record: ThreadRecord) -> None:
        self._library.add_thread_record(self._threads, record)

    def lose(self, begin: int, end: int) -> None:
        """Takes note that records may be missing between two times."""
        self._library.lose_thread_records(self._threads, begin, end)

    def explain(
        self,
        parts: int,
        tid: U32,
        start: U64,
        duration: U64,
        begin: U64,
        is_virtual: npt.NDArray[np.bool_],
        thread: U64 | None = None,
        process: npt.NDArray[np.uint16] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Returns columns with an element for each call, by the names in layout/threads.toml. `parts` is a
        bit set of call_part. `begin` is since when each call's process is watched. All records up to the end
        of the last call must have been read. Calls of virtual threads are explained if `thread`, their IDs,
        and `process` are given: the number that the records of their mounts have, 0 for none."""
        count = len(tid)
        results = {name: np.zeros(count, of_type) for name, of_type in _RESULTS.items()}
        given: dict[str, npt.NDArray[Any]] = {
            "tid": np.ascontiguousarray(tid, np.uint32),
            "start": np.ascontiguousarray(start, np.uint64),
            "duration": np.ascontiguousarray(duration, np.uint64),
            "begin": np.ascontiguousarray(begin, np.uint64),
            "is_virtual": np.ascontiguousarray(is_virtual, np.uint8),
            "thread": np.ascontiguousarray(np.zeros(count) if thread is None else thread, np.uint64),
            "process": np.ascontiguousarray(np.zeros(count) if process is None else process, np.uint16),
        }
        columns = {name: column.ctypes.data for name, column in (given | results).items()}
        self._library.explain_calls(self._threads, Calls(count=count, parts=parts, **columns))
        return results

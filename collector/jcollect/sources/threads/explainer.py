"""Explains where the time of calls went, before their events are published.

The call's thread and its start and duration are known at its return. What the thread did in between is in
the history, which a thread of its own reads all the time: the ring buffer holds a tenth of a second at a
million records per second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from jcollect.layout.threads import (
    CALL_PART_CPU,
    CALL_PART_FAULTS,
    CALL_PART_SYSCALLS,
    CALL_PART_UNMOUNTED,
)
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import TIMED_KINDS
from jcollect.probes.stub_library import StubLibrary
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.ring import Ring
from jcollect.sources.columns import U32, U64, Batch
from jcollect.sources.explanation import (
    COLUMNS,
    CPU,
    FAULTS,
    SYSCALLS,
    UNMOUNTED,
    Explanation,
    ExplanationCounts,
)
from jcollect.sources.threads import programs
from jcollect.sources.threads.history import ThreadHistory
from jcollect.sources.threads.mounts import Mounts
from jcollect.sources.threads.programs import RING_BYTES, ThreadPrograms, most_threads
from jcollect.sources.threads.syscalls import syscall_name
from jcollect.workers import Failures, Worker

# Intervals of reading the history: while much happens, and while little does. The ring buffer holds 0.1 s of
# a million records per second.
_PAUSE_SECONDS, _QUIET_PAUSE_SECONDS = 0.02, 0.05
_FEW_BYTES = RING_BYTES // 32
# A record is written in 0.1 us, unless its thread is interrupted in the BPF program.
_MOST_WRITING_NS = 2_000_000
_PARTS: Final[Mapping[str, tuple[int, Mapping[str, Any]]]] = {
    programs.CPU: (CALL_PART_CPU, CPU),
    programs.FAULTS: (CALL_PART_FAULTS, FAULTS),
    programs.SYSCALLS: (CALL_PART_SYSCALLS, SYSCALLS),
}
# The names that layout/threads.toml has for some of COLUMNS.
_RESULTS: Final = {
    "on_cpu_nanos": "on_cpu",
    "run_queue_nanos": "run_queue",
    "off_cpu_nanos": "off_cpu",
    "unmounted_nanos": "unmounted",
    "voluntary_switches": "voluntary",
    "involuntary_switches": "involuntary",
    "top_syscall_nanos": "top_nanos",
}
# Calls of a process that is not watched begin before this.
_NEVER = (1 << 64) - 1


class CallExplainer:
    """Explains calls from `start` to `close`. A stage of the hub (hub/stage.py)."""

    def __init__(
        self,
        parts: Collection[str],
        capacity: int,
        utc_offset_ns: int,
        compilation: Compilation | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Attaches to the tracepoints of these parts: CPU, FAULTS, SYSCALLS of programs.py. `capacity` is
        that of probe IDs. Raises JcollectError."""
        self._parts = [part for part in _PARTS if part in parts]
        self._bits = sum(_PARTS[part][0] for part in self._parts)
        self._utc_offset = np.uint64(utc_offset_ns % (1 << 64))
        self._clock = clock
        self._programs = ThreadPrograms(self._parts, compilation)
        self._ring = Ring(self._programs.ring_fd, RING_BYTES)
        self._history = ThreadHistory(most_threads())
        # Held while the history is read or used.
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._worker: Worker | None = None
        self._read_at = clock()
        self._lost = 0
        # Since when each process is watched, and by probe ID.
        self._begins: dict[int, int] = {}
        self._begin_of = np.full(capacity, _NEVER, np.uint64)
        self._mounts = Mounts(self._programs, capacity)
        self._is_timed = np.zeros(capacity, np.bool_)
        self._explained = self._unknown = 0

    def start(self, failures: Failures) -> None:
        """Begins to read. Raises JcollectError if no thread can be started."""
        self._worker = Worker("explain calls", self._run, failures).start()

    def watch(self, pid: int) -> None:
        """Follows the threads of a process. Its calls can be explained that begin later. Raises
        JcollectError."""
        self._programs.watch(pid)
        self._begins[pid] = self._clock()

    def follow(self, pid: int, libraries: Sequence[StubLibrary]) -> None:
        """Learns from now on when virtual threads of the process are mounted, if its agent reports it."""
        self._mounts.follow(pid, libraries)

    def unwatch(self, pid: int) -> None:
        self._mounts.leave(pid)
        self._programs.unwatch(pid)

    def describe(self, probes: Sequence[ProbeDescription]) -> None:
        self._mounts.describe(probes)
        for probe in probes:
            self._begin_of[probe.id] = self._begins.get(probe.pid, _NEVER)
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS

    def apply(self, batch: Batch) -> Batch:
        """Returns the events with their explanations."""
        if not len(batch):
            return batch
        columns = batch.columns
        (timed,) = np.nonzero(self._is_timed[columns.probe])
        starts = columns.with_starts().start_unix_nanos[timed]
        begin: U64 = np.where(starts == 0, np.uint64(0), starts - self._utc_offset)
        is_virtual = np.zeros(len(timed), np.bool_) if batch.is_virtual is None else batch.is_virtual[timed]
        has_virtual = bool(is_virtual.any()) and programs.CPU in self._parts
        durations = columns.duration_nanos[timed]
        with self._lock:
            until = np.uint64(self._read_all())
            # A call ends before its event comes here, unless the program lies.
            is_read = (begin <= until) & (durations <= until - begin)
            found = self._history.explain(
                self._bits | (CALL_PART_UNMOUNTED if has_virtual else 0),
                columns.tid[timed],
                begin,
                durations,
                np.where(is_read, self._begin_of[columns.probe[timed]], np.uint64(_NEVER)),
                is_virtual,
                columns.thread[timed],
                self._mounts.numbers[columns.probe[timed]],
            )
        # A platform thread is on no carrier, so the part means nothing for it.
        found["known"][~is_virtual] &= ~np.uint32(CALL_PART_UNMOUNTED)
        known = np.zeros(len(batch), np.uint32)
        known[timed] = found["known"]
        whole = int(np.count_nonzero(found["known"] & self._bits == self._bits))
        self._explained += whole
        self._unknown += len(timed) - whole
        found["top_syscall"], names = _named(found["top_syscall"])
        results = {}
        names_of = [name for part in self._parts for name in _PARTS[part][1]]
        for name in [*names_of, *(UNMOUNTED if has_virtual else ())]:
            column = np.zeros(len(batch), COLUMNS[name])
            column[timed] = found[_RESULTS.get(name, name)]
            results[name] = column
        return replace(batch, columns=replace(columns, explanation=Explanation(known, results, names)))

    def counts(self) -> ExplanationCounts:
        """For any thread."""
        return ExplanationCounts(self._explained, self._unknown, self._history.records, self._lost)

    def close(self) -> None:
        """Detaches, and frees everything."""
        self._stop.set()
        if self._worker is not None:
            self._worker.join(1.0)
        self._mounts.close()
        with self._lock:
            self._ring.close()
            self._programs.close()

    def _run(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._stop.wait(pause):
            with self._lock:
                # `close` does not wait for ever.
                if self._stop.is_set():
                    return
                pause = _PAUSE_SECONDS if self._ring.used() > _FEW_BYTES else _QUIET_PAUSE_SECONDS
                self._read()

    def _read_all(self) -> int:
        """Reads on until no record is still being written; returns the time up to which everything is read, 0
        if that takes too long. The caller holds the lock."""
        begun = self._clock()
        while not self._read():
            if self._clock() > begun + _MOST_WRITING_NS:
                return 0
            time.sleep(0)
        return begun

    def _read(self) -> bool:
        """Reads what has happened; returns false if a record is still being written, which hides those behind
        it. The caller holds the lock."""
        now = self._clock()
        is_whole = self._history.read(self._ring.memory)
        lost = self._programs.lost()
        if lost != self._lost:
            self._history.lose(self._read_at, self._clock())
            self._lost = lost
        self._read_at = now
        return is_whole


def _named(numbers: U32) -> tuple[U32, tuple[str, ...]]:
    """Returns numbers of system calls plus 1, 0 for none, as indices into names plus 1, and the names."""
    found, places = np.unique(numbers, return_inverse=True)
    has_none = bool(len(found)) and found[0] == 0
    names = tuple(syscall_name(number - 1) for number in found.tolist() if number)
    return (places + (0 if has_none else 1)).astype(np.uint32), names

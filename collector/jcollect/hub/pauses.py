"""The pauses of JVMs, from the events of HotSpot's safepoint probes, and how much of each call they take.

A pause lasts from hs_private:safepoint__begin to safepoint__end of the same process; hotspot:vmops__begin in
between says what it is for. A thread returns from a call after the pauses that have held it up, so their
events come before the call's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import MARK, TIMED_KINDS
from jcollect.sources.columns import U64, Batch, Columns
from jcollect.sources.explanation import Explanation
from jprobe.v1 import collector_pb2

_PART = np.uint32(collector_pb2.EXPLANATION_PART_PAUSES)
# Begin, end, and what the pause is for.
_MARKS = (
    ("hs_private", "safepoint__begin"),
    ("hs_private", "safepoint__end"),
    ("hotspot", "vmops__begin"),
)
# HotSpot is in this file. The same names in another are not its.
_FILE = "libjvm.so"
# Pauses of one process that are kept, the newest.
_MOST_PAUSES = 4096
_MOST_LABEL = 64
_NEVER = (1 << 63) - 1
Times: TypeAlias = NDArray[np.int64]
# Families of VM operations that are pauses of a garbage collector, by the beginning of their names.
_COLLECTORS = (
    ("G1", "G1 pause"),
    ("Parallel", "Parallel GC pause"),
    ("Gen", "Serial GC pause"),
    ("Serial", "Serial GC pause"),
    ("Shenandoah", "Shenandoah pause"),
    ("XMark", "ZGC pause"),
    ("ZMark", "ZGC pause"),
    ("ZRelocate", "ZGC pause"),
)


class ProcessPauses:
    """The pauses of one process. Times as in columns. Calls that began before `complete_since` cannot be
    explained. `opened` is when the current pause began; 0: there is none.

    Pauses are in the order of their times. An event that is out of order comes after a loss, or from a
    program that lies: all pauses before it are forgotten.
    """

    def __init__(self, complete_since: int) -> None:
        self.complete_since = complete_since
        self.opened = 0
        self._label = ""
        self._count = 0
        self._begins, self._ends = np.zeros((2, _MOST_PAUSES), np.int64)
        # Time of the pauses before each.
        self._before = np.zeros(_MOST_PAUSES + 1, np.int64)
        self._labels: list[str] = []

    @property
    def latest(self) -> int:
        """When the latest pause has ended; the largest number while there is one, 0 if there was none."""
        if self.opened:
            return _NEVER
        return int(self._ends[self._count - 1]) if self._count else 0

    def begin(self, when: int) -> None:
        if when < self.latest:
            self.forget(when)
        self.opened, self._label = when, ""

    def name(self, operation: str) -> None:
        if self.opened and not self._label:
            self._label = operation

    def end(self, when: int) -> None:
        if not self.opened or when < self.opened:
            self.forget(when)
            return
        if self._count == _MOST_PAUSES:
            self._drop(_MOST_PAUSES // 2)
        at = self._count
        self._begins[at], self._ends[at] = self.opened, when
        self._before[at + 1] = self._before[at] + when - self.opened
        self._labels.append(label_of(self._label))
        self._count += 1
        self.opened = 0

    def forget(self, when: int) -> None:
        """Forgets all pauses: any event up to `when` may be lost."""
        last = int(self._ends[self._count - 1]) if self._count else 0
        self.complete_since = max(self.complete_since, self.opened, last, when)
        self.opened = self._count = 0
        self._labels.clear()

    def _drop(self, many: int) -> None:
        """Forgets the oldest pauses."""
        self.complete_since = max(self.complete_since, int(self._ends[many - 1]))
        left = self._count - many
        for each in (self._begins, self._ends):
            each[:left] = each[many : self._count]
        self._before[: left + 1] = self._before[many : self._count + 1]
        del self._labels[:many]
        self._count = left

    def within(self, starts: Times, ends: Times) -> tuple[Times, list[str]]:
        """Returns the time of the pauses within each call in ns, and the label of the longest; empty if there
        is none."""
        first = np.searchsorted(self._ends[: self._count], starts, "right")
        past = np.maximum(np.searchsorted(self._begins[: self._count], ends, "left"), first)
        nanos = self._before[past] - self._before[first]
        some = np.flatnonzero(first < past)
        # A call may begin within its first pause, and end within its last.
        nanos[some] -= np.maximum(starts[some] - self._begins[first[some]], 0)
        nanos[some] -= np.maximum(self._ends[past[some] - 1] - ends[some], 0)
        open_nanos = np.maximum(ends - np.maximum(starts, self.opened), 0) if self.opened else nanos * 0
        labels = [""] * len(starts)
        for call in np.flatnonzero(open_nanos).tolist():
            labels[call] = label_of(self._label)
        for call in np.flatnonzero(nanos).tolist():
            pauses = slice(first[call], past[call])
            parts = np.minimum(self._ends[pauses], ends[call]) - np.maximum(
                self._begins[pauses], starts[call]
            )
            longest = int(parts.argmax())
            if parts[longest] > open_nanos[call]:
                labels[call] = self._labels[first[call] + longest]
        return nanos + open_nanos, labels


def label_of(operation: str) -> str:
    """Returns what a pause for a VM operation is called: "G1 pause", or the name of the operation."""
    for beginning, label in _COLLECTORS:
        if operation.startswith(beginning):
            return label
    return operation[:_MOST_LABEL] or "safepoint"


class PauseStage:
    """Adds the pauses to the explanations of calls. A stage of the hub (hub/stage.py)."""

    def __init__(
        self,
        capacity: int,
        utc_offset_ns: int,
        lost: Callable[[], int] = lambda: 0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`capacity` is that of probe IDs. `lost` returns the number of events that were lost so far: pauses
        may be among them."""
        self._utc_offset = utc_offset_ns
        self._clock = clock
        self._lost = lost
        self._was_lost = 0
        self._processes: dict[int, ProcessPauses] = {}
        self._pid = np.zeros(capacity, np.uint32)
        self._is_timed = np.zeros(capacity, np.bool_)
        # 1 for the first of _MARKS, and so on.
        self._mark = np.zeros(capacity, np.uint8)

    def describe(self, probes: Sequence[ProbeDescription]) -> None:
        for probe in probes:
            self._pid[probe.id] = probe.pid
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS
            name = (probe.provider, probe.name)
            is_pause = probe.kind == MARK and PurePath(probe.file).name == _FILE and name in _MARKS
            self._mark[probe.id] = _MARKS.index(name) + 1 if is_pause else 0

    def armed(self, pid: int) -> None:
        """Takes note that the probes of pauses of a process are attached to. For any thread."""
        self._processes[pid] = ProcessPauses(self._clock() + self._utc_offset)

    def left(self, pid: int) -> None:
        self._processes.pop(pid, None)

    def apply(self, batch: Batch) -> Batch:
        """Returns the events, with pauses in their explanations."""
        if not len(batch):
            return batch
        columns = batch.columns
        marks = self._mark[columns.probe]
        if marks.any():
            self._take(batch, np.flatnonzero(marks))
        lost = self._lost()
        if lost != self._was_lost:
            self._was_lost = lost
            now = self._clock() + self._utc_offset
            for pauses in self._processes.values():
                pauses.forget(now)
        known, nanos, top, names = self._pauses_of(columns)
        explanation = columns.explanation or Explanation(np.zeros(len(batch), np.uint32), {})
        before = tuple(explanation.names)
        top = np.where(top > 0, top + np.uint32(len(before)), np.uint32(0))
        merged = Explanation(
            explanation.known | known,
            {**explanation.columns, "pause_nanos": nanos, "top_pause": top},
            before + names,
        )
        return replace(batch, columns=replace(columns, explanation=merged))

    def _take(self, batch: Batch, marks: np.ndarray) -> None:
        """Takes note of the pauses that begin and end in a batch."""
        columns, ends = batch.columns, batch.ends()
        for index in marks.tolist():
            probe = int(columns.probe[index])
            pauses = self._processes.get(int(self._pid[probe]))
            if pauses is None:
                continue
            when, mark = int(columns.time_unix_nanos[index]), int(self._mark[probe])
            if mark == 1:
                pauses.begin(when)
            elif mark == 2:
                pauses.end(when)
            else:
                part = batch.part(index, index + 1, ends)
                pauses.name(part.columns.text.decode(errors="replace"))

    def _pauses_of(self, columns: Columns) -> tuple[np.ndarray, U64, np.ndarray, tuple[str, ...]]:
        count = len(columns)
        known, top = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
        nanos = np.zeros(count, np.uint64)
        starts = columns.with_starts().start_unix_nanos
        timed = self._is_timed[columns.probe] & (starts > 0)
        numbers: dict[str, int] = {}
        pids = self._pid[columns.probe]
        for pid, pauses in list(self._processes.items()):
            mine = timed & (pids == pid) & (starts >= np.uint64(pauses.complete_since))
            known[mine] = _PART
            # Only calls that begin before the latest has ended.
            calls = np.flatnonzero(mine & (starts < np.uint64(pauses.latest)))
            begins = starts[calls].astype(np.int64)
            taken, labels = pauses.within(begins, begins + columns.duration_nanos[calls].astype(np.int64))
            nanos[calls] = taken
            for call in np.flatnonzero(taken).tolist():
                top[calls[call]] = numbers.setdefault(labels[call], len(numbers) + 1)
        return known, nanos, top, tuple(numbers)

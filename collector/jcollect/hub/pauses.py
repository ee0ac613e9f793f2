"""The pauses of JVMs, from the events of HotSpot's safepoint probes, and how much of each call they take.

A pause lasts from hs_private:safepoint__begin to safepoint__end of the same process; hotspot:vmops__begin in
between says what it is for. A thread returns from a call after the pauses that have held it up, so their
events come before the call's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import TIMED_KINDS
from jcollect.sources.columns import U64, Batch, Columns
from jcollect.sources.explanation import Explanation
from jprobe.v1 import collector_pb2

_PART = np.uint32(collector_pb2.EXPLANATION_PART_PAUSES)
_BEGIN, _END, _OPERATION = ("hs_private", "safepoint__begin"), ("hs_private", "safepoint__end"), (
    "hotspot", "vmops__begin"
)  # fmt: skip
# Pauses of one process that are kept, the newest.
_MOST_PAUSES = 4096
_MOST_LABEL = 64
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


@dataclass
class ProcessPauses:
    """The pauses of one process. Times as in columns. Calls that began before `complete_since` cannot be
    explained. `opened` is when the current pause began; 0: there is none."""

    complete_since: int
    opened: int = 0
    label: str = ""
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def begin(self, when: int) -> None:
        if self.opened:
            # The end was lost.
            self.complete_since = when
        self.opened, self.label = when, ""

    def name(self, operation: str) -> None:
        if self.opened and not self.label:
            self.label = operation

    def end(self, when: int) -> None:
        if not self.opened:
            self.complete_since = when
            return
        self.begins.append(self.opened)
        self.ends.append(when)
        self.labels.append(label_of(self.label))
        self.opened = 0
        if len(self.begins) > _MOST_PAUSES:
            drop = _MOST_PAUSES // 2
            self.complete_since = max(self.complete_since, self.ends[drop - 1])
            del self.begins[:drop], self.ends[:drop], self.labels[:drop]

    def within(self, start: int, end: int) -> tuple[int, str]:
        """Returns the time of the pauses within a call in ns, and the label of the longest; empty if there is
        none."""
        first = int(np.searchsorted(self.ends, start, "right"))
        total = longest = 0
        label = ""
        for index in range(first, len(self.begins)):
            if self.begins[index] >= end:
                break
            part = min(end, self.ends[index]) - max(start, self.begins[index])
            total += part
            if part > longest:
                longest, label = part, self.labels[index]
        if self.opened and self.opened < end:
            part = end - max(start, self.opened)
            total += part
            if part > longest:
                label = label_of(self.label)
        return total, label


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
        # 1 for begins, 2 for ends, 3 for operations.
        self._mark = np.zeros(capacity, np.uint8)

    def describe(self, probes: Sequence[ProbeDescription]) -> None:
        for probe in probes:
            self._pid[probe.id] = probe.pid
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS
            name = (probe.provider, probe.name)
            self._mark[probe.id] = (_BEGIN, _END, _OPERATION).index(name) + 1 if name in (
                _BEGIN, _END, _OPERATION
            ) else 0  # fmt: skip

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
                pauses.complete_since, pauses.opened = now, 0
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
            # Only calls that end after the oldest pause has begun, and begin before the latest has ended.
            latest = (1 << 64) - 1 if pauses.opened else pauses.ends[-1] if pauses.ends else 0
            for index in np.flatnonzero(mine & (starts < np.uint64(latest))).tolist():
                start = int(starts[index])
                taken, label = pauses.within(start, start + int(columns.duration_nanos[index]))
                nanos[index] = taken
                if taken:
                    top[index] = numbers.setdefault(label, len(numbers) + 1)
        return known, nanos, top, tuple(numbers)

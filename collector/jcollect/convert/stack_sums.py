"""Sums up events by their captured stacks: how many calls, and how much time they took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from jcollect.convert.self_times import SelfTimes
from jcollect.hub.items import EncodedEvents, Events, Item, Schema, Stacks
from jcollect.probes.description import Described
from jcollect.probes.probe import ENTRY
from jcollect.recordings.reader import RecordedItem
from jcollect.sources.columns import U64, Batch, Columns, with_room
from jcollect.sources.stacks import StackTable, stack_indices
from jcollect.view.formats import location_text
from jcollect.view.stack_text import method_of

# Distinct stacks. Beyond, calls count for their method alone.
MOST_STACKS = 1 << 18
# Frames of all distinct stacks together.
MOST_FRAMES = 1 << 23
NO_STACK, MORE = "[no stack]", "[more frames]"


@dataclass
class Sum:
    """Calls of one stack, and their own time in ns."""

    calls: int = 0
    nanos: int = 0


@dataclass(frozen=True)
class _Probe:
    pid: int
    stack: int  # Index of the value.
    name: str


class StackSums:
    """Sums of a stream or a recording. `sums` are by stack: the names of its frames, the outermost first.

    Entry events count for nothing: their calls end with another event, which has the duration. Of a probe
    with several stacks, the first counts. The time of a call does not include that of the calls below it
    whose stacks are captured as well.
    """

    def __init__(self, with_lines: bool = False) -> None:
        """`with_lines`: frames are places, not methods."""
        self._with_lines = with_lines
        self._stacks = StackTable()
        self._probes: dict[int, _Probe] = {}
        self._value_counts = np.zeros(0, np.int64)
        self._names: dict[str, str] = {}
        self.sums: dict[tuple[str, ...], Sum] = {}
        self.calls = self.without_stack = self.left_out = 0
        self.first = self.last = 0
        self.has_probes = False
        self._self_times = SelfTimes()
        self._frames = 0

    @property
    def has_stacks(self) -> bool:
        """True if a probe captures stacks."""
        return bool(self._probes)

    def take(self, item: Item | RecordedItem) -> None:
        """Takes an item of a stream or a recording."""
        if isinstance(item, Schema):
            self._describe(item.probes)
        elif isinstance(item, Stacks):
            self._stacks.add(item.stacks)
        elif isinstance(item, Events | EncodedEvents | Batch):
            self._add(item.columns)

    def _describe(self, probes: Iterable[Described]) -> None:
        for probe in probes:
            self.has_probes = True
            self._value_counts = with_room(self._value_counts, probe.id + 1)
            self._value_counts[probe.id] = len(probe.values)
            self._probes.pop(probe.id, None)
            indices = stack_indices(probe.values)
            if indices and probe.kind != ENTRY:
                self._probes[probe.id] = _Probe(probe.pid, indices[0], location_text(probe))

    def _add(self, columns: Columns) -> None:
        if not len(columns) or not len(columns.values):
            return
        counts = self._value_counts[columns.probe]
        starts = np.cumsum(counts) - counts
        own = self._own_times(columns)
        for number in np.unique(columns.probe).tolist():
            probe = self._probes.get(number)
            if probe is None:
                continue
            events = np.flatnonzero(columns.probe == number)
            words = columns.values[starts[events] + probe.stack]
            nanos = columns.duration_nanos[events] if len(columns.duration_nanos) else events * 0
            selves = own[events] if len(columns.duration_nanos) else nanos
            ids, places, calls = np.unique(words, return_inverse=True, return_counts=True)
            # Exact: a double would round sums of more than 104 days.
            time = np.zeros(len(ids), np.uint64)
            np.add.at(time, places, selves.astype(np.uint64))
            for stack, many, took in zip(ids.tolist(), calls.tolist(), time.tolist(), strict=True):
                self._count(probe, stack, many, took)
            ends = columns.time_unix_nanos[events]
            if len(ends):
                self.last = max(self.last, int(ends.max()))
                begin = int((ends - nanos.astype(np.uint64)).min())
                self.first = min(self.first or begin, begin)

    def _own_times(self, columns: Columns) -> U64:
        """Returns the time of each call without that of the calls below it whose stacks are captured."""
        own = np.zeros(len(columns), np.uint64)
        if not len(columns.duration_nanos):
            return own
        events = np.flatnonzero(np.isin(columns.probe, list(self._probes)))
        if len(events):
            pids = [self._probes[number].pid for number in columns.probe[events].tolist()]
            own[events] = self._self_times.of(columns, events, pids)
        return own

    def _count(self, probe: _Probe, number: int, calls: int, nanos: int) -> None:
        self.calls += calls
        stack = self._stacks.get(probe.pid, number) if number else None
        if stack is None:
            self.without_stack += calls
            names: tuple[str, ...] = (NO_STACK, probe.name)
        else:
            names = tuple(map(self._name, reversed(stack.frames)))
            if stack.is_truncated:
                names = (MORE, *names)
        found = self.sums.get(names)
        if found is None:
            is_full = len(self.sums) >= MOST_STACKS or self._frames + len(names) > MOST_FRAMES
            if is_full and len(names) > 1:
                self.left_out += calls
                names = names[-1:]
            self._frames += len(names)
            found = self.sums.setdefault(names, Sum())
        found.calls += calls
        found.nanos += nanos

    def _name(self, frame: str) -> str:
        known = self._names.get(frame)
        if known is None:
            if len(self._names) >= MOST_STACKS:
                self._names.clear()
            known = self._names[frame] = frame if self._with_lines else method_of(frame)
        return known

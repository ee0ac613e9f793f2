"""Formats batches as lines of text, for `-o json` and `-o compact`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from operator import itemgetter
from typing import Protocol

import numpy as np

from jcollect.probes.description import Described
from jcollect.sources.columns import U32, Columns
from jcollect.sources.stacks import StackTable, StackTrace
from jcollect.view.plan import Plan
from jcollect.view.shape import Run, Shape
from jcollect.view.texts import BatchText, Positions, Texts
from jcollect.view.values import ValueFormat
from jprobe.v1 import probe_pb2

# Maximum number of events that are formatted at once, and the approximate maximum of their characters: a
# description may have 1 MiB (rpc/incoming.py), and each event is printed with it.
_MOST_EVENTS = 2048
_MOST_CHARACTERS = 1 << 20

_NOT_PLANNED = -1


class LineFormat(Protocol):
    """A format. `second` is the strftime pattern of its times."""

    @property
    def second(self) -> str: ...
    @property
    def values(self) -> ValueFormat: ...
    def plan(self, probe: Described) -> Plan | None:
        """Returns the line of a probe's events; None if they are not printed."""


class LineFormatter:
    """Formats the batches of one subscription."""

    def __init__(self, line_format: LineFormat) -> None:
        self._format = line_format
        self._probes: dict[int, Described] = {}
        self._stacks = StackTable()
        self._shapes: dict[int, Shape] = {}
        self._numbers: dict[object, int] = {}
        self._keys: dict[int, object] = {}
        self._next = 0
        # Arrays by probe ID.
        self._shape_of = np.zeros(0, np.int64)
        self._value_counts = np.zeros(0, np.int64)
        self._characters = np.zeros(0, np.int64)

    def add(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema."""
        new = {probe.id: probe for probe in probes}
        self._probes.update(new)
        size = max(new, default=-1) + 1
        if size > len(self._shape_of):
            missing = max(size, 2 * len(self._shape_of)) - len(self._shape_of)
            self._shape_of = np.pad(self._shape_of, (0, missing), constant_values=_NOT_PLANNED)
            self._value_counts = np.pad(self._value_counts, (0, missing))
            self._characters = np.pad(self._characters, (0, missing))
        for probe in new:
            self._forget(probe)

    def use_stacks(self, stacks: StackTable) -> None:
        """Looks up stacks in this table from now on."""
        self._stacks = stacks

    def add_stacks(self, stacks: Iterable[StackTrace]) -> None:
        """Adds stacks that later events refer to."""
        self._stacks.add(stacks)

    def _forget(self, probe: int) -> None:
        """Forgets the shape of a probe, because its ID may be reassigned."""
        number = int(self._shape_of[probe])
        self._shape_of[probe] = _NOT_PLANNED
        if number < 0:
            return
        shape = self._shapes[number]
        shape.remove(probe)
        if not shape.probes:
            del self._shapes[number]
            del self._numbers[self._keys.pop(number)]

    def lines(self, columns: Columns) -> Iterator[list[str]]:
        """Yields the events of a batch as lines, in order, in lists of bounded size. Omits events that the
        format does not print. Raises KeyError for a probe that no schema described, and
        MalformedStreamError."""
        if not len(columns):
            return
        self._plan(columns.probe)
        text = BatchText(columns.text)
        shape_of = self._shape_of[columns.probe]
        counts = self._value_counts[columns.probe]
        ends = np.cumsum(counts)
        starts = ends - counts
        value_at = text_at = 0
        for first, last in self._pieces(columns):
            value_end = int(ends[last - 1])
            values = columns.values[value_at:value_end]
            groups = _groups(shape_of, first, last)
            is_string = np.zeros(len(values), np.bool_)
            for number, events in groups:
                for index in self._shapes[number].strings:
                    is_string[starts[events] - value_at + index] = True
            texts = Texts(text, text_at, values, is_string)
            printed: list[tuple[Positions, list[str]]] = []
            for number, events in groups:
                where = slice(first, last) if len(groups) == 1 else events
                run = Run(columns, where, starts[events] - value_at, values, texts, self._stacks)
                lines = self._shapes[number].lines(run)
                if lines is not None:
                    printed.append((events, lines))
            yield _in_order(printed)
            value_at, text_at = value_end, texts.end

    def _plan(self, probes: U32) -> None:
        """Plans the lines of those of the probes that fire for the first time."""
        if int(probes.max()) >= len(self._shape_of):
            raise KeyError(int(probes.max()))
        new = self._shape_of[probes] == _NOT_PLANNED
        for number in np.unique(probes[new]).tolist() if new.any() else ():
            probe = self._probes[number]
            plan = self._format.plan(probe)
            strings = tuple(
                i for i, value in enumerate(probe.values) if value.type == probe_pb2.VALUE_TYPE_STRING
            )
            key = (None if plan is None else plan.tokens, None if plan is None else plan.absence, strings)
            shape_number = self._numbers.get(key)
            if shape_number is None:
                shape_number = self._numbers[key] = self._next
                self._keys[shape_number] = key
                self._shapes[shape_number] = Shape(plan, strings, self._format.second, self._format.values)
                self._next += 1
            self._shapes[shape_number].add(number, plan)
            self._shape_of[number] = shape_number
            self._value_counts[number] = len(probe.values)
            self._characters[number] = 0 if plan is None else plan.characters

    def _pieces(self, columns: Columns) -> Iterator[tuple[int, int]]:
        """Yields the begin and the end of parts of a batch."""
        count = len(columns)
        characters = self._characters[columns.probe].cumsum()
        if count <= _MOST_EVENTS and characters[-1] <= _MOST_CHARACTERS:
            yield 0, count
            return
        first = before = 0
        while first < count:
            last = int(np.searchsorted(characters, before + _MOST_CHARACTERS, side="right"))
            last = max(first + 1, min(last, first + _MOST_EVENTS))
            yield first, last
            first, before = last, int(characters[last - 1])


def _in_order(printed: list[tuple[Positions, list[str]]]) -> list[str]:
    """Returns the lines of several groups in the order of their events."""
    if len(printed) < 2:
        return printed[0][1] if printed else []
    lines = list(chain.from_iterable(group for _, group in printed))
    order = np.argsort(np.concatenate([events for events, _ in printed]))
    return list(itemgetter(*order.tolist())(lines))


def _groups(shape_of: Positions, first: int, last: int) -> list[tuple[int, Positions]]:
    """Returns the events of each shape, as indices in the batch."""
    part = shape_of[first:last]
    order = part.argsort(kind="stable")
    ordered = part[order]
    bounds = [0, *((ordered[1:] != ordered[:-1]).nonzero()[0] + 1).tolist(), last - first]
    order += first
    return [(int(ordered[begin]), order[begin:end]) for begin, end in pairwise(bounds)]

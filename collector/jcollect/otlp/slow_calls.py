"""Picks the calls that become spans out of batches of events, and decodes only these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jcollect.layout.record import STRING_WORD_LENGTH_MASK, STRING_WORD_LENGTH_SHIFT
from jcollect.otlp.settings import SpanSelection
from jcollect.probes.description import Described
from jcollect.probes.probe import RETURN, THROW
from jcollect.sources.columns import Batch, Columns, with_room
from jcollect.view.json_lines import JsonLines
from jcollect.view.lines import LineFormatter
from jprobe.v1 import probe_pb2

_OTHER, _RETURNS, _THROWS = range(3)
_ENDS: dict[int, int] = {RETURN: _RETURNS, THROW: _THROWS}


@dataclass(frozen=True)
class Call:
    """A call that has ended. `event` is its line of JSON: docs/event-format.md."""

    probe: Described
    end_unix_nanos: int
    duration_nanos: int
    event: dict[str, Any]


class SlowCalls:
    """For the items of one subscription."""

    def __init__(self, selection: SpanSelection) -> None:
        self._least = selection.least_nanos
        self._exceptions = selection.exceptions
        self._formatter = LineFormatter(JsonLines())
        self._probes: dict[int, Described] = {}
        # Arrays by probe ID.
        self._kinds = np.zeros(0, np.int8)
        self._counts = np.zeros(0, np.int64)
        self._strings: dict[int, list[int]] = {}

    def add(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema."""
        new = {probe.id: probe for probe in probes}
        self._formatter.add(new.values())
        self._probes.update(new)
        size = max(new, default=-1) + 1
        self._kinds = with_room(self._kinds, size)
        self._counts = with_room(self._counts, size)
        for number, probe in new.items():
            self._kinds[number] = _ENDS.get(probe.kind, _OTHER)
            self._counts[number] = len(probe.values)
            self._strings[number] = [
                i for i, value in enumerate(probe.values) if value.type == probe_pb2.VALUE_TYPE_STRING
            ]

    def count(self, columns: Columns) -> int:
        """Returns how many calls of a batch are selected."""
        return int(np.count_nonzero(self._wanted(columns)))

    def calls(self, columns: Columns) -> Iterator[Call]:
        """Yields the selected calls of a batch."""
        wanted = self._wanted(columns)
        if not wanted.any():
            return
        picked = self._batch(columns).pick(wanted).columns
        picked = picked.with_starts()
        starts, durations = picked.start_unix_nanos, picked.duration_nanos
        # The probe fires after the call has ended.
        ends = np.where(starts > 0, starts + durations, picked.time_unix_nanos)
        lines = (line for some in self._formatter.lines(picked) for line in some)
        for line, probe, end, duration in zip(
            lines,
            picked.probe.tolist(),
            ends.tolist(),
            durations.tolist(),
            strict=True,
        ):
            yield Call(self._probes[probe], end, duration, json.loads(line))

    def _wanted(self, columns: Columns) -> np.ndarray[Any, np.dtype[np.bool_]]:
        kinds = self._kinds[columns.probe]
        wanted = np.zeros(len(columns), np.bool_)
        if self._least is not None:
            wanted |= (kinds != _OTHER) & (columns.duration_nanos > np.uint64(self._least))
        if self._exceptions:
            wanted |= kinds == _THROWS
        return wanted

    def _batch(self, columns: Columns) -> Batch:
        """Returns the columns with the sizes of each event's part of the values and of the text."""
        counts = self._counts[columns.probe]
        starts = np.cumsum(counts) - counts
        lengths = columns.values >> np.uint64(STRING_WORD_LENGTH_SHIFT) & np.uint64(STRING_WORD_LENGTH_MASK)
        sizes = np.zeros(len(columns), np.int64)
        for number in np.unique(columns.probe).tolist():
            (events,) = np.nonzero(columns.probe == number)
            for index in self._strings[number]:
                sizes[events] += lengths[starts[events] + index].astype(np.int64)
        return Batch(columns, counts.astype(np.uint32), sizes.astype(np.uint32))

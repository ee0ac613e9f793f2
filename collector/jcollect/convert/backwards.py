"""Reads a recording from its end to its begin.

A call is recorded when it ends. Backwards, a caller therefore comes before the calls that it made: the stack
of a call is known when its event is read, and no more than the stacks have to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.errors import JcollectError, explain
from jcollect.hub.items import Loss, Schema, Stacks
from jcollect.probes.description import ProbeDescription
from jcollect.recordings.batches import decode_batch
from jcollect.recordings.chosen import Chosen
from jcollect.recordings.frames import FrameReader, FrameType
from jcollect.recordings.overview import description_of, meaning
from jcollect.recordings.reader import RecordingFile, explaining, open_recording
from jcollect.recordings.shapes import Shapes
from jcollect.sources.columns import Batch
from jcollect.sources.stacks import StackTable


@dataclass(frozen=True)
class Lost:
    """Events that were lost at a stage before this point, since the notice before."""

    stage: int
    events: int


@dataclass(frozen=True)
class _Events:
    path: str
    start: int


@dataclass(frozen=True)
class _Reassigned:
    """From here on, backwards, an ID belongs to this probe."""

    probe: ProbeDescription


class Backwards:
    """The events of a recording, the last batch first. `probes` are those of the current batch, by ID."""

    def __init__(self, paths: Sequence[str], globs: Sequence[str]) -> None:
        """Reads everything but the events. Raises JcollectError."""
        self.probes: dict[int, ProbeDescription] = {}
        self.warnings: list[str] = []
        self.stacks = StackTable()
        # Main classes and commands, as far as they are known.
        self.process_names: dict[int, str] = {}
        self._parts: list[_Events | _Reassigned | Lost] = []
        self.lost: dict[int, int] = {}
        self._matches = Chosen(globs)
        for path in paths:
            self._skim(path)
        self._matches.check_matched(", ".join(paths))

    def _skim(self, path: str) -> None:
        file = RecordingFile(path)
        for frame, item in file.frames(skipped=(FrameType.EVENTS,)):
            if frame.type == FrameType.EVENTS:
                self._parts.append(_Events(path, frame.start))
            elif isinstance(item, Schema):
                self._describe(item)
            elif isinstance(item, Stacks):
                self.stacks.add(item.stacks)
            elif isinstance(item, Loss):
                more = item.events - self.lost.get(item.stage, 0)
                if more > 0:
                    self.lost[item.stage] = item.events
                    self._parts.append(Lost(item.stage, more))
        self.warnings += file.warnings
        if file.facts.status is not None:
            self.process_names.update((each.pid, each.name) for each in file.facts.status.processes)

    def _describe(self, schema: Schema) -> None:
        self._matches.part(schema)
        for probe in map(description_of, schema.probes):
            known = self.probes.get(probe.id)
            if known is not None and meaning(known) != meaning(probe):
                self._parts.append(_Reassigned(known))
            self.probes[probe.id] = probe

    def items(self) -> Iterator[Batch | Lost]:
        """Yields batches whose events are in the order of the recording, and losses. Raises JcollectError."""
        shapes = Shapes()
        shapes.add(self.probes.values())
        matches = self._matches.matches
        wanted = np.zeros(max(self.probes, default=0) + 1, np.bool_)
        for number, probe in self.probes.items():
            wanted[number] = matches is None or matches(probe)
        for part in reversed(self._parts):
            if isinstance(part, _Reassigned):
                probe = part.probe
                self.probes[probe.id] = probe
                wanted[probe.id] = matches is None or matches(probe)
                shapes.add([probe])
            elif isinstance(part, Lost):
                yield part
            else:
                batch = self._read(part, shapes)
                yield batch if matches is None else batch.pick(wanted[batch.columns.probe])

    def _read(self, events: _Events, shapes: Shapes) -> Batch:
        try:
            with open_recording(events.path) as file:
                frame = FrameReader(file, events.path).frame_at(events.start)
        except OSError as error:
            raise explain(error, f"read {events.path}") from None
        if frame is None:
            raise JcollectError(
                f"cannot read {events.path}: it has changed while it was read; convert it again"
            )
        with explaining(events.path, frame):
            return decode_batch(frame.content, shapes)

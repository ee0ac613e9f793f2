"""Makes objects of a few events of a stream: most events are only counted, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jcollect.hub.items import EncodedEvents, Events, Stacks
from jcollect.probes.description import Described
from jcollect.recordings.shapes import Shapes
from jcollect.rpc.messages import probe_message
from jcollect.rpc.public.event import Event
from jcollect.rpc.public.event_decoder import DescribedProbe, events_of
from jcollect.sources.columns import Batch, Flags
from jcollect.sources.stacks import StackTable


class _Probes(dict[int, DescribedProbe]):
    """Describes a probe when its first event is picked: most probes of a stream have none."""

    def __init__(self) -> None:
        self.descriptions: dict[int, Described] = {}
        self.stacks = StackTable()

    def __missing__(self, number: int) -> DescribedProbe:
        found = self[number] = DescribedProbe(probe_message(self.descriptions[number]), self.stacks)
        return found


class EventPicker:
    """Picks events out of the batches of one stream."""

    def __init__(self) -> None:
        self._described = _Probes()
        self._shapes = Shapes()

    def describe(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema. Raises MalformedStreamError."""
        new = list(probes)
        self._shapes.add(new)
        for probe in new:
            self._described.pop(probe.id, None)
            self._described.descriptions[probe.id] = probe

    def take_stacks(self, item: Stacks) -> None:
        """Adds the stacks to which events refer."""
        self._described.stacks.add(item.stacks)

    def pick(self, events: Events | EncodedEvents, wanted: Flags) -> Iterator[Event]:
        """Yields the events for which `wanted` is true. Raises MalformedStreamError."""
        if not wanted.any():
            return
        if isinstance(events, EncodedEvents):
            batch: Batch = events.batch
        else:
            columns = events.columns
            batch = self._shapes.batch(columns, self._shapes.value_counts(columns.probe))
        yield from events_of(batch.pick(wanted).columns, self._described)

"""A batch of events as numpy columns, and as objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jcollect.rpc.public.event import Event
from jcollect.rpc.public.event_decoder import DescribedProbe, events_of
from jcollect.rpc.public.items import Cursor
from jcollect.rpc.public.probe import Probe
from jcollect.sources.columns import U32, U64, Columns
from jcollect.sources.explanation import Explanation


class _Probes(Mapping[int, Probe]):
    """The probes of a stream by ID, described when they are first used."""

    def __init__(self, described: Mapping[int, DescribedProbe]) -> None:
        self._described = described

    def __getitem__(self, number: int) -> Probe:
        return self._described[number].probe

    def __iter__(self) -> Iterator[int]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)


@dataclass(frozen=True, eq=False)
class Batch:
    """Events as columns: element i of each belongs to event i, except for `values` and `text` (EventBatch
    in collector.proto). The arrays are read-only views of the received message. Columns that the stream
    does not ask for are empty. `cursor` is the position after the batch; None if the collector keeps no
    history."""

    columns: Columns
    described: Mapping[int, DescribedProbe]
    cursor: Cursor | None

    def __len__(self) -> int:
        return len(self.columns.probe)

    def __iter__(self) -> Iterator[Event]:
        """Yields the events as objects, which takes a hundred times as long as numpy needs for a column."""
        return events_of(self.columns, self.described)

    @property
    def probes(self) -> Mapping[int, Probe]:
        """The probes by the IDs in the column `probe`."""
        return _Probes(self.described)

    @property
    def seq(self) -> U64:
        return self.columns.seq

    @property
    def time_unix_nanos(self) -> U64:
        return self.columns.time_unix_nanos

    @property
    def probe(self) -> U32:
        return self.columns.probe

    @property
    def tid(self) -> U32:
        return self.columns.tid

    @property
    def thread(self) -> U64:
        return self.columns.thread

    @property
    def duration_nanos(self) -> U64:
        return self.columns.duration_nanos

    @property
    def start_unix_nanos(self) -> U64:
        return self.columns.start_unix_nanos

    @property
    def explanation(self) -> Explanation | None:
        """Where the time of the calls went, as columns; None unless the collector explains."""
        return self.columns.explanation

    @property
    def values(self) -> U64:
        return self.columns.values

    @property
    def text(self) -> bytes:
        return self.columns.text

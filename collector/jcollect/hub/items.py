"""The items of a subscription: schemas, batches of events, losses, throttling, stacks, and what the
request left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jcollect.hub.cursor import Cursor
from jcollect.hub.wire import decode_batch
from jcollect.probes.description import Described
from jcollect.sources.base import LossStage as LossStage
from jcollect.sources.columns import U32, Columns
from jcollect.sources.columns import Batch as Picked
from jcollect.sources.stacks import StackTrace


@dataclass(frozen=True)
class Schema:
    """Describes probes before their first events, in addition to earlier schemas. An ID that is described
    again has been reassigned. `has_more` is true if the next item describes more probes of the same
    moment."""

    probes: Sequence[Described]
    has_more: bool = False


@dataclass(frozen=True)
class Events:
    """A batch of events."""

    columns: Columns


@dataclass(frozen=True)
class EncodedEvents:
    """A batch of events, encoded once for all subscribers: the bytes of SubscribeResponse(batch=...,
    cursor=...).

    `value_counts` and `text_sizes` are those of sources.columns.Batch. `cursor` is the position after the
    events."""

    message: bytes
    value_counts: U32
    text_sizes: U32
    cursor: Cursor

    def __len__(self) -> int:
        return len(self.value_counts)

    @property
    def size(self) -> int:
        """Memory of the columns in bytes."""
        return len(self.message) + 8 * len(self)

    @property
    def columns(self) -> Columns:
        """The decoded batch. Its arrays are views of the message."""
        columns = decode_batch(self.message)
        assert columns is not None
        return columns

    @property
    def batch(self) -> Picked:
        """The decoded batch, from which events can be picked."""
        return Picked(self.columns, self.value_counts, self.text_sizes)


@dataclass(frozen=True)
class Loss:
    """Events lost at one stage since the subscription began: in total, and by probe ID.

    The total includes probes whose IDs have been reassigned. A later collector may have other stages.
    """

    stage: int
    events: int
    by_probe: Mapping[int, int]


@dataclass(frozen=True)
class Throttling:
    """The IDs of probes that stopped firing, or fire again, because of the overhead limit.

    `throttled` counts the calls that the process suppressed since the subscription began.
    """

    began: Sequence[int] = ()
    ended: Sequence[int] = ()
    throttled: int = 0


@dataclass(frozen=True)
class History:
    """Begins the events of the history. `begin_unix_nanos` is the time of the oldest event in it, 0 if there
    is none.

    `missed` events of the subscribed probes were asked for and are gone; fewer if `missed_is_bound`.
    """

    begin_unix_nanos: int
    missed: int
    missed_is_bound: bool


@dataclass(frozen=True)
class Stacks:
    """Describes stacks, before the first events with their IDs. An ID that is described again is another
    stack from then on."""

    stacks: Sequence[StackTrace]


@dataclass(frozen=True)
class Skipped:
    """Events that the request has left out since the subscription began: by `where`, sampling and the
    rate."""

    filtered: int = 0
    sampled: int = 0
    over_rate: int = 0

    @property
    def total(self) -> int:
        return self.filtered + self.sampled + self.over_rate

    def __add__(self, other: Skipped) -> Skipped:
        return Skipped(
            self.filtered + other.filtered, self.sampled + other.sampled, self.over_rate + other.over_rate
        )


@dataclass(frozen=True)
class Position:
    """The stream has come further, without anything to send."""


class ThrottledCalls(NamedTuple):
    """Calls of a probe that were not counted because of the overhead limit, and the time in ns during which
    its method was unwoven for that reason."""

    probe: int
    throttled: int
    throttled_ns: int


Batch = Events | EncodedEvents
Item = Schema | Events | EncodedEvents | Loss | Throttling | History | Skipped | Stacks | Position

"""The items of a subscription: schemas, batches of events, losses and throttling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jcollect.hub.wire import decode_batch
from jcollect.probes.description import Described
from jcollect.sources.base import LossStage as LossStage
from jcollect.sources.columns import Columns


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
    """A batch of events, encoded once for all subscribers: the bytes of SubscribeResponse(batch=...)."""

    message: bytes

    @property
    def columns(self) -> Columns:
        """The decoded batch."""
        columns = decode_batch(self.message)
        assert columns is not None
        return columns


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


class ThrottledCalls(NamedTuple):
    """Calls of a probe that were not counted because of the overhead limit, and the time in ns during which
    its method was unwoven for that reason."""

    probe: int
    throttled: int
    throttled_ns: int


Batch = Events | EncodedEvents
Item = Schema | Events | EncodedEvents | Loss | Throttling

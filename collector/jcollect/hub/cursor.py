"""Positions in the events of a hub, where a stream begins, and what happens to slow subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Cursor(NamedTuple):
    """A position: before the event with the number `seq`.

    `epoch` is the random number of the hub's run. `events` is the number of events before the position that
    belong to the probes of a subscription."""

    epoch: int
    seq: int
    events: int


class CursorError(Exception):
    """A cursor is not one of this hub. The message is a sentence without a period."""


class EpochError(CursorError):
    """A cursor belongs to an earlier run of the collector, or to another collector."""


class FutureError(CursorError):
    """A cursor is ahead of the hub."""


@dataclass(frozen=True)
class Since:
    """A stream begins at the first event of this time or later, in ns since 1970-01-01T00:00:00Z."""

    unix_nanos: int


@dataclass(frozen=True)
class Last:
    """A stream begins at the last events that it would have."""

    events: int


Begin = Since | Last | Cursor


class OnOverflow(Enum):
    """The events that a subscriber loses when its queue is full; DISCONNECT ends its stream."""

    DROP_NEWEST = 1
    DROP_OLDEST = 2
    DISCONNECT = 3

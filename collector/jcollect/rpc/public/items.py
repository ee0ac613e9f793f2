"""The values that a stream reports besides events: positions, gaps, losses; and how streams resume."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from jcollect.errors import JcollectError
from jprobe.v1 import collector_pb2

_CURSOR_PARTS = 3
_CURSOR_NUMBERS = 1 << 64


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the events of a collector; `str()` makes text of it, `Cursor.parse` the reverse.

    Valid for one run of the collector, which `epoch` identifies, and for one choice of probes and PIDs.
    """

    epoch: int
    seq: int
    events: int

    def __str__(self) -> str:
        return f"{self.epoch:016x}-{self.seq:x}-{self.events:x}"

    @staticmethod
    def parse(text: str) -> Cursor:
        """Returns the cursor that this text was made of. Raises JcollectError."""
        parts = text.split("-")
        try:
            numbers = [int(part, 16) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != _CURSOR_PARTS or not all(0 <= number < _CURSOR_NUMBERS for number in numbers):
            raise JcollectError(f"'{text}' is not a cursor: pass the text of stream.cursor")
        return Cursor(*numbers)

    @staticmethod
    def of(message: collector_pb2.Cursor) -> Cursor:
        return Cursor(message.epoch, message.seq, message.events)

    def message(self) -> collector_pb2.Cursor:
        return collector_pb2.Cursor(epoch=self.epoch, seq=self.seq, events=self.events)


class GapReason(enum.StrEnum):
    """Why events are missing in a stream."""

    # The collector's history does not reach back to where the stream begins or goes on.
    HISTORY = "history"
    # The collector was restarted. Events between the two runs were not recorded.
    RESTART = "restart"
    # The connection broke, and the collector keeps no history (attach --history).
    NO_HISTORY = "no-history"
    # The connection broke before the collector could report events that it had dropped.
    UNREPORTED = "unreported"


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a stream does not have. `missed` is their number; None if it is unknown.

    With `is_bound`, there may be fewer. Events that `where` would have left out are included.
    """

    missed: int | None
    is_bound: bool
    reason: GapReason

    def __str__(self) -> str:
        if self.missed is None:
            return f"an unknown number of events is missing ({self.reason})"
        return f"{'up to ' if self.is_bound else ''}{self.missed:,} events are missing ({self.reason})"


@dataclass(frozen=True, slots=True)
class Lost:
    """Events that were lost since the stream began: in total, and by stage ("kernel-ring", "subscriber",
    …)."""

    events: int = 0
    by_stage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How a stream goes on after its connection broke.

    A stream tries again after `first_delay` seconds, then after twice as long, up to `longest_delay`, and
    gives up after `seconds` without an answer. With `after_end`, it also waits for the next collector at
    the address when the collector has detached, which otherwise ends the stream.
    """

    seconds: float = 60.0
    first_delay: float = 0.1
    longest_delay: float = 2.0
    after_end: bool = False

    def __post_init__(self) -> None:
        if not (self.seconds >= 0 and 0 < self.first_delay <= self.longest_delay):
            raise JcollectError(
                "cannot reconnect like this: seconds must be at least 0, and first_delay above 0 and at most "
                "longest_delay"
            )

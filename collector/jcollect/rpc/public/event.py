"""One event as a typed object, and what its values can be. How they are read is in event_decoder.py."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass

from jcollect.rpc.public.explanation import Explanation
from jcollect.rpc.public.probe import Probe

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_NANOS = 1_000_000_000


class TruncatedText(str):
    """A string that the agent truncated at its string limit."""

    __slots__ = ()


class ObjectText(str):
    """The text of an object that is neither a number nor a string: an enum's constant, a list, a class and
    its identity (docs/event-format.md)."""

    __slots__ = ()


class Missing(enum.Enum):
    """Why an event has no value. All are false in conditions, as None is, which stands for Java's null."""

    # Something in the captured path was null, or the agent had no room for a stack.
    ABSENT = "absent"
    # Evaluating the captured path threw an exception.
    EXCEPTION = "exception"
    # The memory of the string could not be read.
    UNREADABLE = "unreadable"
    # Only a later client knows the type; or a stack that the collector has not described.
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        return False


# A stack is a tuple of its frames, the innermost first.
Value = bool | int | float | str | tuple[str, ...] | Missing | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Times and durations are in ns. `seq` grows by event in one run of the collector. `tid` is
    the kernel's thread ID, `thread` Java's. `values` are by name, in the order of `probe.values`.
    `start_unix_nanos` is when the call of a return or throw event began; 0 if unknown, and for other events.
    `explanation` is None unless the collector explains.

    Columns that the stream does not ask for (`columns=`) are 0 or empty.
    """

    seq: int
    time_unix_nanos: int
    probe: Probe
    tid: int
    thread: int
    duration_nanos: int
    values: Mapping[str, Value]
    start_unix_nanos: int = 0
    explanation: Explanation | None = None

    @property
    def time(self) -> datetime.datetime:
        """Time at which the probe fired, in UTC, to the microsecond."""
        return _EPOCH + datetime.timedelta(microseconds=self.time_unix_nanos // 1000)

    @property
    def duration(self) -> float:
        """Time from entry to return or throw, in seconds; 0 for entry events."""
        return self.duration_nanos / _NANOS

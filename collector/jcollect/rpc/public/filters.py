"""Keyword arguments of a stream become a SubscribeRequest. The collector checks its limits."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable
from typing import Literal, TypedDict, TypeVar

from jcollect.errors import JcollectError
from jcollect.rpc.public.items import Cursor
from jprobe.v1 import collector_pb2

ColumnName = Literal["time", "tid", "thread", "duration", "values", "start", "explanation"]
Overflow = Literal["drop-newest", "drop-oldest", "disconnect"]

_COLUMNS: dict[str, collector_pb2.EventColumn] = {
    "time": collector_pb2.EVENT_COLUMN_TIME,
    "tid": collector_pb2.EVENT_COLUMN_TID,
    "thread": collector_pb2.EVENT_COLUMN_THREAD,
    "duration": collector_pb2.EVENT_COLUMN_DURATION,
    "values": collector_pb2.EVENT_COLUMN_VALUES,
    "start": collector_pb2.EVENT_COLUMN_START,
    "explanation": collector_pb2.EVENT_COLUMN_EXPLANATION,
}
_OVERFLOWS: dict[str, collector_pb2.OnOverflow] = {
    "drop-newest": collector_pb2.ON_OVERFLOW_DROP_NEWEST,
    "drop-oldest": collector_pb2.ON_OVERFLOW_DROP_OLDEST,
    "disconnect": collector_pb2.ON_OVERFLOW_DISCONNECT,
}
_Number = TypeVar("_Number", bound=int)
_SIZES = {"sample_every": 64, "max_rate": 32, "last": 64}


class EventFilters(TypedDict, total=False):
    """Keyword arguments of streams of events; SubscribeRequest in collector.proto describes them.

    `deny` are globs. `since` is a time, or an age as a timedelta, or ns since 1970. At most
    one of `since`, `last` and `after` is given; without them the stream begins now. With `follow=False` it
    ends after the events that the collector holds.
    """

    deny: str | Iterable[str]
    pids: Iterable[int]
    where: str
    columns: Iterable[ColumnName]
    sample_every: int
    max_rate: int
    since: datetime.datetime | datetime.timedelta | int
    last: int
    after: Cursor | str
    follow: bool
    on_overflow: Overflow


def subscribe_request(probes: str | Iterable[str], filters: EventFilters) -> collector_pb2.SubscribeRequest:
    """Returns the request. Raises JcollectError for arguments that no collector can accept."""
    begins = [name for name in ("since", "last", "after") if filters.get(name) is not None]
    if len(begins) > 1:
        raise JcollectError(f"cannot begin a stream at {' and '.join(begins)}: choose one of them")
    for name, bits in _SIZES.items():
        _check_size(name, filters.get(name), bits)
    request = collector_pb2.SubscribeRequest(
        globs=glob_list(probes),
        pids=pid_list(filters.get("pids", ())),
        deny=glob_list(filters.get("deny", ())),
        where=filters.get("where", ""),
        columns=[_choice("a column of events", name, _COLUMNS) for name in filters.get("columns", ())],
        sample_every=filters.get("sample_every", 0),
        max_rate=filters.get("max_rate", 0),
        only_history=not filters.get("follow", True),
    )
    overflow = filters.get("on_overflow")
    if overflow is not None:
        request.on_overflow = _choice("an option for slow readers", overflow, _OVERFLOWS)
    since, last, after = filters.get("since"), filters.get("last"), filters.get("after")
    if since is not None:
        request.since_unix_nanos = _unix_nanos(since)
    elif last is not None:
        request.last = last
    elif after is not None:
        cursor = Cursor.parse(after) if isinstance(after, str) else after
        request.after.CopyFrom(cursor.message())
    return request


def glob_list(globs: str | Iterable[str]) -> list[str]:
    """Returns globs; a single string is one of them, not its characters."""
    return [globs] if isinstance(globs, str) else list(globs)


def pid_list(pids: Iterable[int]) -> list[int]:
    """Returns the PIDs. Raises JcollectError if one is not a PID."""
    found = list(pids)
    for pid in found:
        if not 0 < pid < 1 << 32:
            raise JcollectError(f"{pid} is not a PID")
    return found


def aggregate_request(
    probes: str | Iterable[str], pids: Iterable[int], interval: float
) -> collector_pb2.AggregateRequest:
    """Returns the request for histograms of intervals of so many seconds. Raises JcollectError."""
    millis = round(interval * 1000)
    if not 0 <= millis < 1 << 32:
        raise JcollectError(f"cannot count in intervals of {interval:g} s: pass 0, or seconds from 0.1 on")
    return collector_pb2.AggregateRequest(
        globs=glob_list(probes), pids=pid_list(pids), interval_millis=millis
    )


def _check_size(name: str, value: object, bits: int) -> None:
    if value is not None and not (isinstance(value, int) and 0 <= value < 1 << bits):
        raise JcollectError(
            f"cannot subscribe with {name}={value}: pass a number from 0 to {(1 << bits) - 1:,}"
        )


def _choice(what: str, name: str, numbers: dict[str, _Number]) -> _Number:
    if name not in numbers:
        raise JcollectError(f"'{name}' is not {what}: choose from {', '.join(numbers)}")
    return numbers[name]


def _unix_nanos(since: datetime.datetime | datetime.timedelta | int) -> int:
    if isinstance(since, datetime.timedelta):
        nanos = time.time_ns() - since // datetime.timedelta(microseconds=1) * 1000
    elif isinstance(since, datetime.datetime):
        if since.tzinfo is None:
            raise JcollectError(
                f"cannot begin a stream at {since}: it has no time zone; pass datetime.now(timezone.utc), "
                "or a timedelta"
            )
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        nanos = (since - epoch) // datetime.timedelta(microseconds=1) * 1000
    else:
        nanos = since
    if not 0 <= nanos < 1 << 64:
        raise JcollectError(f"cannot begin a stream at {since}: it is before 1970, or too late")
    return nanos

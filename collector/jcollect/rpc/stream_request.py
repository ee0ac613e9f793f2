"""Maps a SubscribeRequest to plain values and back, and rejects what is not valid."""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.hub.condition import MOST_LENGTH
from jcollect.hub.cursor import Begin, Cursor, Last, OnOverflow, Since
from jcollect.hub.stream_options import MASKABLE, StreamOptions
from jprobe.v1 import collector_pb2

# More events than any probe has. Numbers of events are signed.
_MOST_SAMPLED = 1 << 62
# The names of columns, as in sources.columns.Columns.
COLUMNS: dict[collector_pb2.EventColumn, str] = {
    collector_pb2.EVENT_COLUMN_TIME: "time_unix_nanos",
    collector_pb2.EVENT_COLUMN_TID: "tid",
    collector_pb2.EVENT_COLUMN_THREAD: "thread",
    collector_pb2.EVENT_COLUMN_DURATION: "duration_nanos",
    collector_pb2.EVENT_COLUMN_VALUES: "values",
    collector_pb2.EVENT_COLUMN_START: "start_unix_nanos",
    collector_pb2.EVENT_COLUMN_EXPLANATION: "explanation",
}
_ON_OVERFLOW: dict[collector_pb2.OnOverflow, OnOverflow] = {
    collector_pb2.ON_OVERFLOW_UNSPECIFIED: OnOverflow.DROP_NEWEST,
    collector_pb2.ON_OVERFLOW_DROP_NEWEST: OnOverflow.DROP_NEWEST,
    collector_pb2.ON_OVERFLOW_DROP_OLDEST: OnOverflow.DROP_OLDEST,
    collector_pb2.ON_OVERFLOW_DISCONNECT: OnOverflow.DISCONNECT,
}
_ENCODINGS = (
    collector_pb2.ENCODING_UNSPECIFIED,
    collector_pb2.ENCODING_COLUMNS,
    collector_pb2.ENCODING_ARROW_IPC,
)


class InvalidRequestError(Exception):
    """A request asks for something that does not exist. The message is a clause whose subject is the
    request."""


def stream_options(request: collector_pb2.SubscribeRequest) -> StreamOptions:
    """Returns what a request asks for, besides the probes. Raises InvalidRequestError."""
    if len(request.where) > MOST_LENGTH:
        raise InvalidRequestError(f"has a condition of more than {MOST_LENGTH} characters")
    if request.on_overflow not in _ON_OVERFLOW:
        raise InvalidRequestError(
            f"has on_overflow {request.on_overflow}, which this collector does not know"
        )
    if request.encoding not in _ENCODINGS:
        raise InvalidRequestError(f"has the encoding {request.encoding}, which this collector does not know")
    return StreamOptions(
        deny=tuple(request.deny),
        where=request.where,
        columns=_columns(request),
        sample_every=min(max(1, request.sample_every), _MOST_SAMPLED),
        max_rate=request.max_rate,
        begin=_begin(request),
        only_history=request.only_history,
        on_overflow=_ON_OVERFLOW[request.on_overflow],
    )


def stream_request(
    globs: Sequence[str], pids: Sequence[int], options: StreamOptions
) -> collector_pb2.SubscribeRequest:
    """Returns the request that asks for this."""
    request = collector_pb2.SubscribeRequest(
        globs=globs,
        pids=pids,
        deny=options.deny,
        where=options.where,
        sample_every=options.sample_every,
        max_rate=options.max_rate,
        only_history=options.only_history,
    )
    if options.on_overflow != OnOverflow.DROP_NEWEST:
        policies = {policy: number for number, policy in _ON_OVERFLOW.items()}
        request.on_overflow = policies[options.on_overflow]
    if options.columns != MASKABLE:
        request.columns.extend(number for number, name in COLUMNS.items() if name in options.columns)
    if isinstance(options.begin, Since):
        request.since_unix_nanos = options.begin.unix_nanos
    elif isinstance(options.begin, Last):
        request.last = options.begin.events
    elif options.begin is not None:
        request.after.CopyFrom(collector_pb2.Cursor(**options.begin._asdict()))
    return request


def _columns(request: collector_pb2.SubscribeRequest) -> frozenset[str]:
    for column in request.columns:
        if column not in COLUMNS:
            raise InvalidRequestError(f"has the column {column}, which this collector does not know")
    return frozenset(COLUMNS[column] for column in request.columns) or MASKABLE


def _begin(request: collector_pb2.SubscribeRequest) -> Begin | None:
    kind = request.WhichOneof("begin")
    if kind == "since_unix_nanos":
        return Since(request.since_unix_nanos)
    if kind == "last":
        return Last(request.last)
    if kind == "after":
        return Cursor(request.after.epoch, request.after.seq, request.after.events)
    return None

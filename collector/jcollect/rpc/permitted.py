"""Restricts a subscription to what its client may see: the one place that decides about captured values."""

from __future__ import annotations

from jcollect.rpc.rights import VALUES, Caller
from jprobe.v1 import collector_pb2

# A later column is left out until it is known to reveal nothing.
_REVEALING_NOTHING = (
    collector_pb2.EVENT_COLUMN_TIME,
    collector_pb2.EVENT_COLUMN_TID,
    collector_pb2.EVENT_COLUMN_THREAD,
    collector_pb2.EVENT_COLUMN_DURATION,
)
# The first byte of a message with a schema. Other messages are passed on as they are, which is cheap.
_SCHEMA = bytes([collector_pb2.SubscribeResponse.SCHEMA_FIELD_NUMBER << 3 | 2])


def permit(request: collector_pb2.SubscribeRequest, caller: Caller) -> str:
    """Removes the captured values from the columns of a request, unless the client may see them. Returns a
    clause if the request cannot be granted; otherwise an empty one."""
    if caller.has(VALUES):
        return ""
    # The number of events that match reveals what they are compared with. That includes `duration`: a
    # captured value may have this name.
    if request.where:
        return f"a condition needs the right '{VALUES}'"
    columns = [each for each in request.columns or _REVEALING_NOTHING if each in _REVEALING_NOTHING]
    # No columns would stand for all.
    request.columns[:] = columns or [collector_pb2.EVENT_COLUMN_TIME]
    return ""


def visible(message: bytes, caller: Caller) -> bytes:
    """Returns a message of a stream as its client may see it: a schema that describes no values, if it gets
    none. Otherwise a reader would expect them."""
    if caller.has(VALUES) or message[:1] != _SCHEMA:
        return message
    response = collector_pb2.SubscribeResponse.FromString(message)
    for probe in response.schema.probes:
        probe.ClearField("values")
    return response.SerializeToString()

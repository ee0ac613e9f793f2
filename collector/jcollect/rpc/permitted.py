"""Restricts a subscription to what its client may see: the one place that decides about captured values."""

from __future__ import annotations

import re

from jcollect.rpc.rights import VALUES, Caller
from jprobe.v1 import collector_pb2

# A later column is left out until it is known to reveal nothing.
_REVEALING_NOTHING = (
    collector_pb2.EVENT_COLUMN_TIME,
    collector_pb2.EVENT_COLUMN_TID,
    collector_pb2.EVENT_COLUMN_THREAD,
    collector_pb2.EVENT_COLUMN_DURATION,
)
# Names in a condition that reveal nothing of captured values.
_HARMLESS = {"and", "or", "not", "duration"}
_WORD = re.compile(r"(?<![\w.])[^\W\d]\w*")


def permit(request: collector_pb2.SubscribeRequest, caller: Caller) -> str:
    """Removes the captured values from the columns of a request, unless the client may see them. Returns a
    clause if the request cannot be granted; otherwise an empty one."""
    if caller.has(VALUES):
        return ""
    # The number of events that match reveals the values that they are compared with.
    if not _is_harmless(request.where):
        return f"a condition on captured values needs the right '{VALUES}'"
    columns = [each for each in request.columns or _REVEALING_NOTHING if each in _REVEALING_NOTHING]
    # No columns would stand for all.
    request.columns[:] = columns or [collector_pb2.EVENT_COLUMN_TIME]
    return ""


def _is_harmless(where: str) -> bool:
    return set(_WORD.findall(where)) <= _HARMLESS and not set(where) & set("\"'`[")


def without_values(message: bytes) -> bytes:
    """Returns a message of a stream without captured values."""
    response = collector_pb2.SubscribeResponse.FromString(message)
    if response.HasField("batch"):
        response.batch.ClearField("values")
        response.batch.ClearField("text")
        return response.SerializeToString()
    # Rows of Arrow cannot be stripped here.
    return b"" if response.HasField("arrow") else message

"""Finds the trace of a call in its captured values: W3C's traceparent, or the IDs themselves.

A captured ID is that of the span in whose scope the call runs. So it is the parent of the call's own span.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

TRACE_BYTES, SPAN_BYTES = 16, 8
_TRACE_NAMES = ("trace_id", "traceId", "traceid", "trace")
_PARENT_NAMES = ("span_id", "spanId", "spanid", "parent_span_id", "parentSpanId", "parent_id", "parentId")
_CONTEXT_NAMES = ("traceparent", "traceParent", "trace_parent")
_HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)
# Version, trace, parent and flags. Later versions may append fields.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)


class TraceContext(NamedTuple):
    """`parent` is empty if none is known. `names` are the captured values that it was found in."""

    trace: bytes
    parent: bytes = b""
    names: tuple[str, ...] = ()


def trace_context(captures: Mapping[str, Any]) -> TraceContext:
    """Returns the context of a call; without a valid ID, that of a new trace."""
    for name, value in _texts(captures, _CONTEXT_NAMES):
        found = _TRACEPARENT.fullmatch(value)
        if found and found[1] != "ff" and not (found[1] == "00" and found[4]):
            trace, parent = bytes.fromhex(found[2]), bytes.fromhex(found[3])
            if any(trace) and any(parent):
                return TraceContext(trace, parent, (name,))
    for name, value in _texts(captures, _TRACE_NAMES):
        trace = _id(value, TRACE_BYTES)
        if trace:
            for parent_name, parent_value in _texts(captures, _PARENT_NAMES):
                parent = _id(parent_value, SPAN_BYTES)
                if parent:
                    return TraceContext(trace, parent, (name, parent_name))
            return TraceContext(trace, b"", (name,))
    return TraceContext(new_id(TRACE_BYTES))


def new_id(size: int) -> bytes:
    """Returns a random ID, which is not zero."""
    while not any(found := os.urandom(size)):
        pass
    return found


def _texts(captures: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return ((name, captures[name]) for name in names if isinstance(captures.get(name), str))


def _id(text: str, size: int) -> bytes:
    """Returns an ID in hexadecimal digits; empty if it is none, or zero. Older tracers have trace IDs of 64
    bits."""
    digits = text.strip()
    if len(digits) == SPAN_BYTES * 2 < size * 2:
        digits = digits.zfill(size * 2)
    if len(digits) != size * 2 or not _HEX.fullmatch(digits):
        return b""
    found = bytes.fromhex(digits)
    return found if any(found) else b""

"""Calls as spans of OTLP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from jcollect.otlp.resources import SCOPE, Attribute, attributes_of, process_resource, utf8
from jcollect.otlp.slow_calls import Call
from jcollect.otlp.trace_context import SPAN_BYTES, new_id, trace_context

# Characters of a text in an attribute. Agents send at most 1,024 bytes.
_MOST_TEXT = 4096


def span_of(call: Call) -> Span:
    """Returns the span of a call. What the call has captured are its attributes, under their names."""
    event = call.event
    captures: dict[str, Any] = event.get("captures", {})
    context = trace_context(captures)
    attributes: dict[str, Attribute] = {
        "code.function.name": f"{call.probe.class_name}.{call.probe.method}",
        "thread.id": event["thread"],
        "jprobe.descriptor": call.probe.method_descriptor,
        "jprobe.probe": event["probe"],
    }
    attributes.update(_shown("jprobe.return", event.get("value")))
    for name, value in captures.items():
        if name not in context.names:
            attributes.update(_shown(name, value))
    span = Span(
        trace_id=context.trace,
        span_id=new_id(SPAN_BYTES),
        parent_span_id=context.parent,
        name=f"{call.probe.class_name}#{call.probe.method}",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=max(0, call.end_unix_nanos - call.duration_nanos),
        end_time_unix_nano=call.end_unix_nanos,
    )
    if event["kind"] == "throw":
        exception = event.get("exception")
        thrown = exception if isinstance(exception, str) else ""
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = utf8(thrown)
        if thrown:
            attributes["error.type"] = thrown
            span.events.add(
                name="exception",
                time_unix_nano=call.end_unix_nanos,
                attributes=attributes_of({"exception.type": thrown}),
            )
    span.attributes.extend(attributes_of(attributes))
    return span


def span_request(spans: Sequence[tuple[int, Span]], names: Mapping[int, str]) -> ExportTraceServiceRequest:
    """Returns a request with spans, each given with the PID of its process. `names` are those of
    processes."""
    request = ExportTraceServiceRequest()
    by_pid: dict[int, list[Span]] = {}
    for pid, span in spans:
        by_pid.setdefault(pid, []).append(span)
    for pid, found in by_pid.items():
        part = request.resource_spans.add()
        part.resource.CopyFrom(process_resource(pid, names.get(pid, "")))
        scope = part.scope_spans.add()
        scope.scope.CopyFrom(SCOPE)
        scope.spans.extend(found)
    return request


def _shown(name: str, value: Any) -> Iterator[tuple[str, Attribute]]:
    """Yields the attribute for a value; nothing for null, and for one that is absent or unreadable."""
    if isinstance(value, str):
        yield name, value[:_MOST_TEXT]
    elif isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        yield name, value

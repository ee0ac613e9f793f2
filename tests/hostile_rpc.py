"""Functions that each read bytes from the other end of a connection: requests for a collector, and answers
for a client. tests/hostile.py includes them; the same rules apply.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message

from jcollect.cli.collector_status import echo_collector
from jcollect.cli.output import Json, json_bytes
from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.hub.cursor import Cursor
from jcollect.hub.items import Events, Schema
from jcollect.hub.wire import decode_batch
from jcollect.rpc import elements
from jcollect.rpc.address import default_address
from jcollect.rpc.elements import parse
from jcollect.rpc.incoming import Incoming
from jcollect.rpc.incoming_intervals import IncomingIntervals
from jcollect.rpc.messages import probe_message, stream_messages
from jcollect.rpc.names import AGGREGATE, END_AGGREGATE, GET_STATUS, LIST_PROBES, SUBSCRIBE
from jcollect.rpc.service import Streams, handler_for
from jcollect.view.summary import Summary
from jprobe.v1 import collector_pb2, probe_pb2
from received import EncodedPrinter
from ring_image import string
from served import PID, StillSource, described

# Some have names that only a hostile target would choose.
PROBES = [
    *described(20),
    *described(2, 20, "a" * 2000 + "{}"),
    *described(1, 22, "[!{}]*\n\u202e\x1b[2J"),
    *described(1, 23, ""),
]
# Codes that may reject a request; any other code is a bug in the collector.
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
METHODS = (LIST_PROBES, GET_STATUS, SUBSCRIBE, AGGREGATE, END_AGGREGATE)
# Maximum length of a rejection: gRPC carries 8 KiB, escaped.
MOST_DETAILS = 1000


class _Ended(Exception):
    """The service method has ended the call."""


class _Context:
    """Replaces the call that a service method answers."""

    def peer(self) -> str:
        return "unix:"

    def is_active(self) -> bool:
        return True

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return True

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        assert code in REFUSALS, (code, details)
        assert len(details) < MOST_DETAILS
        raise _Ended


class _Details:
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


_source = StillSource(PROBES)
_handlers = handler_for(_source, Streams())


def read_request(content: bytes) -> None:
    """Reads a request. Its first byte chooses the method."""
    handler = _handlers.service(_Details(METHODS[content[0] % len(METHODS) if content else 0]))
    try:
        request = handler.request_deserializer(content[1:])
    except DecodeError:
        return
    with contextlib.suppress(_Ended):
        if handler.unary_unary:
            answer = handler.unary_unary(request, _Context())
            assert len(getattr(answer, "probes", ())) <= len(PROBES)
            handler.response_serializer(answer)
        else:
            stream = handler.unary_stream(request, _Context())
            first = next(stream)
            if isinstance(first, bytes):
                _check_schema(first, request)
            else:
                assert not first.histograms
            stream.close()
    assert not _source.hub.subscribers()
    _source.failures.check()


def _check_schema(message: bytes, request: Any) -> None:
    schema = collector_pb2.SubscribeResponse.FromString(message).schema
    assert [probe.id for probe in schema.probes] == [
        probe.id for probe in _source.describe(request.globs, request.pids)
    ]


class _Out:
    """Accepts the lines that a terminal would print; fails on control characters."""

    def write(self, content: bytes) -> None:
        text = content.decode()
        assert text.replace("\n", "").isprintable()
        assert text.endswith("\n")


def read_stream(content: bytes) -> None:
    """Reads the messages of a stream, each after two bytes of length, preceded by a sound schema."""
    (schema,) = stream_messages(Schema(PROBES), Cursor(1, 0, 0))
    messages = [schema, *_messages(content)]
    for message in messages[1:]:
        _compare(message)
    for output in ("json", "compact"):
        printer = EncodedPrinter(output, _Out())
        with contextlib.suppress(MalformedStreamError):
            for message in messages:
                printer.take(message)
        printer.sink.throttled.text()
    incoming, summary = Incoming(), Summary()
    with contextlib.suppress(JcollectError):
        for message in messages:
            item = incoming.decode(message)
            if isinstance(item, Events):
                summary.add(item.columns)
            elif isinstance(item, Schema):
                summary.describe(item.probes)
    summary.methods()


def read_intervals(content: bytes) -> None:
    """Reads the messages of a stream of histograms, each after two bytes of length."""
    incoming = IncomingIntervals()
    with contextlib.suppress(MalformedStreamError):
        for message in _messages(content):
            interval = incoming.add(message)
            for _, histogram in interval.histograms if interval else ():
                assert histogram.count == histogram.zero + sum(count for _, count in histogram.buckets())
                assert all(
                    bounds is None or bounds.lower <= bounds.upper
                    for bounds in histogram.percentiles((0.5, 1.0))
                )
                assert (histogram + histogram).count == 2 * histogram.count


def _messages(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 2], "little")
        yield content[at + 2 : at + 2 + size]
        at += 2 + size


def _compare(message: bytes) -> None:
    """Checks that decoding without protobuf gives the same as protobuf does."""
    try:
        columns = decode_batch(message)
        batch = collector_pb2.SubscribeResponse.FromString(message).batch
    except DecodeError:
        return
    if columns is not None:
        for name in ("seq", "time_unix_nanos", "probe", "tid", "thread", "duration_nanos", "values"):
            assert np.array_equal(getattr(columns, name), getattr(batch, name)), name
        assert columns.text == batch.text


def read_answer(content: bytes) -> None:
    """Reads an answer of GetStatus, which contains every part of a ListProbes answer."""
    try:
        status = parse(collector_pb2.GetStatusResponse, content)
    except DecodeError:
        return
    _check_parts(content)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        echo_collector(default_address(PID), status, everything=True)
    assert printed.getvalue().replace("\n", "").isprintable()
    printed_json = json_bytes(Json().message(status))
    assert printed_json.replace(b"\n", b"").decode().isprintable()
    json.loads(printed_json, parse_constant=_refuse_constant)


def _check_parts(content: bytes) -> None:
    """Checks that a message that protobuf accepts is not rejected for its parts, unless it has a group
    (proto3 has none).
    """
    try:
        elements._check(content, collector_pb2.GetStatusResponse.DESCRIPTOR)
    except DecodeError as error:
        if "group" not in str(error):
            raise


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


READERS: dict[str, Callable[[bytes], None]] = {
    "request": read_request,
    "stream": read_stream,
    "answer": read_answer,
    "intervals": read_intervals,
}


def sound() -> dict[str, list[bytes]]:
    """Returns valid messages for a fuzzer to begin with."""

    def framed(*messages: Message) -> bytes:
        contents = [message.SerializeToString() for message in messages]
        return b"".join(len(content).to_bytes(2, "little") + content for content in contents)

    requests: list[Message] = [
        collector_pb2.ListProbesRequest(
            globs=["*", "com.acme.*#place", "[!a]?\\*[[]"], pids=[1, PID, 2**32 - 1]
        ),
        collector_pb2.GetStatusRequest(globs=["*a*a*a*b", "place"], summary_only=True),
        collector_pb2.SubscribeRequest(globs=["com.acme.orders.Order1*"]),
        collector_pb2.AggregateRequest(globs=["com.acme.orders.Order1*"], interval_millis=100, key=b"k" * 16),
        collector_pb2.EndAggregateRequest(key=b"k" * 16),
    ]
    batch = collector_pb2.EventBatch(
        seq=[1, 2],
        time_unix_nanos=[2**63, 2**64 - 1],
        probe=[3, 4],
        tid=[5, 6],
        thread=[7, 8],
        duration_nanos=[0, 2**64 - 1],
        values=[42, string(3)],
        text=b"abc",
    )
    text = probe_pb2.Value(name="x", java_type="String", type=probe_pb2.VALUE_TYPE_STRING, path="arg0")
    more = [
        collector_pb2.Probe(id=30 + kind, kind=kind, class_name="\x9b", values=[text] * kind)
        for kind in range(6)
    ]
    responses = [
        collector_pb2.SubscribeResponse(batch=batch),
        collector_pb2.SubscribeResponse(schema=collector_pb2.Schema(probes=more)),
        collector_pb2.SubscribeResponse(
            throttling=collector_pb2.Throttling(began=[3, 31], ended=[4], throttled=9)
        ),
        collector_pb2.SubscribeResponse(
            loss=collector_pb2.Loss(stage=2, events=7, probes=[collector_pb2.ProbeLoss(probe=3, events=7)])
        ),
    ]
    overhead = collector_pb2.Overhead(hit_nanos=1, max_percent=50, asked_percent=60, max_percent_now=1.5)
    status = collector_pb2.GetStatusResponse(
        version="0.1\x1b",
        link="uprobe-multi",
        clock_set_nanos=-5,
        counts=collector_pb2.HitCounts(hits=2, delivered=1, throttled=1),
        processes=[collector_pb2.AttachedProcess(pid=PID, name="\u202e", throttled=1, overhead=overhead)],
        probes=[
            collector_pb2.ProbeHitCounts(probe=probe_message(probe), is_linked=True, attach_point=6)
            for probe in PROBES[18:]
        ],
        subscribers=[collector_pb2.Subscriber(peer="unix:\n", events=3)],
        lost_by_gone_subscribers=4,
    )
    counted = [
        collector_pb2.Histogram(
            probe=30 + kind, scale=4, count=7, sum_nanos=900, zero_count=1, offset=-1, bucket_counts=[1, 0, 5]
        )
        for kind in range(6)
    ]
    intervals = [
        collector_pb2.AggregateResponse(probes=more, end_unix_nanos=5, has_more=True),
        collector_pb2.AggregateResponse(
            histograms=counted,
            end_unix_nanos=5,
            throttled=[collector_pb2.ThrottledCalls(probe=30, throttled=7, throttled_nanos=2**64 - 1)],
        ),
        collector_pb2.AggregateResponse(histograms=counted[:2], start_unix_nanos=5, end_unix_nanos=2**64 - 1),
    ]
    return {
        "request": [bytes([number]) + each.SerializeToString() for number, each in enumerate(requests)],
        "stream": [framed(*responses), *map(framed, responses), framed(responses[1], responses[0])],
        "answer": [status.SerializeToString()],
        "intervals": [framed(*intervals), framed(*intervals[:2])],
    }

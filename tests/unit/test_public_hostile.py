"""Public streams of servers that lie or are killed, and the decisions of Resumption without a server."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from test_hostile_servers import response, server

import jcollect
from jcollect import Cursor, Gap, GapReason, JcollectError, Reconnect
from jcollect.errors import MalformedStreamError
from jcollect.rpc.public.resumption import Resumption
from jprobe.v1 import collector_pb2

PROBE = collector_pb2.Probe(id=0, values=[{"name": "id", "type": 5}])
EPOCH = 9
# Serves a hub that publishes 101 events every 10 ms, until it is killed.
KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from published import PROBES, Publisher
from served import StillSource, described, serving
source = StillSource(described(PROBES))
with serving(source, Path(sys.argv[1])):
    publisher = Publisher(source)
    while True:
        publisher.publish(101)
        time.sleep(0.01)
"""


def schema() -> bytes:
    return response(schema=collector_pb2.Schema(probes=[PROBE]), cursor=cursor(0))


def cursor(events: int) -> collector_pb2.Cursor:
    return collector_pb2.Cursor(epoch=EPOCH, seq=events, events=events)


def batch(first: int, count: int, reached: int) -> bytes:
    numbers = range(first, first + count)
    column = [1] * count
    events = collector_pb2.EventBatch(
        seq=numbers,
        time_unix_nanos=column,
        probe=[0] * count,
        tid=column,
        thread=column,
        duration_nanos=column,
        values=numbers,
    )
    return response(batch=events, cursor=cursor(reached))


class Broken(Exception):
    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


def explain(error: Any, begun: bool) -> JcollectError:
    return JcollectError(f"{error.code().name} {begun}")


def resumption(gaps: list[Gap], **request: Any) -> Resumption:
    request_ = collector_pb2.SubscribeRequest(**request)
    return Resumption(request_, "here", Reconnect(seconds=5), gaps.append, clock=iter(range(1000)).__next__)


def resume(stream: Resumption, *messages: bytes) -> collector_pb2.SubscribeRequest:
    """Runs a connection with these messages, which then breaks; returns the next request."""
    stream.begin()
    for message in messages:
        stream.take(message)
    stream.after_error(Broken(), explain)
    return stream.begin()


def test_events_that_were_dropped_and_not_reported_are_a_gap() -> None:
    gaps: list[Gap] = []
    stream = resumption(gaps)
    request = resume(stream, schema(), batch(0, 5, 5), batch(12, 3, 15))
    assert request.after == cursor(15)
    assert gaps == []
    stream.take(schema())
    assert gaps == [Gap(7, False, GapReason.UNREPORTED)]


def test_events_that_were_reported_as_lost_are_no_gap() -> None:
    gaps: list[Gap] = []
    stream = resumption(gaps)
    loss = collector_pb2.Loss(stage=collector_pb2.LOSS_STAGE_SUBSCRIBER, events=7)
    resume(stream, schema(), batch(0, 5, 5), batch(12, 3, 15), response(loss=loss, cursor=cursor(15)))
    stream.take(schema())
    assert gaps == []
    assert stream.lost.by_stage == {"subscriber": 7}
    stream.take(response(loss=loss, cursor=cursor(15)))
    assert stream.lost.by_stage == {"subscriber": 14}


def test_with_a_condition_what_is_unreported_is_a_bound() -> None:
    gaps: list[Gap] = []
    stream = resumption(gaps, where="id > 3")
    skipped = collector_pb2.Skipped(filtered=4)
    resume(stream, schema(), batch(4, 2, 6), response(skipped=skipped, cursor=cursor(8)))
    stream.take(schema())
    assert gaps == [Gap(2, True, GapReason.UNREPORTED)]
    assert stream.skipped.filtered == 4


def test_a_collector_without_cursors_leaves_a_gap_of_unknown_size() -> None:
    gaps: list[Gap] = []
    stream = resumption(gaps, last=5)
    request = resume(stream, response(schema=collector_pb2.Schema(probes=[PROBE])))
    assert request.WhichOneof("begin") is None
    stream.take(response(schema=collector_pb2.Schema(probes=[PROBE])))
    assert gaps == [Gap(None, False, GapReason.NO_HISTORY)]


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED],
)
def test_an_end_that_would_come_again_is_an_error(code: grpc.StatusCode) -> None:
    stream = resumption([])
    stream.begin()
    stream.take(schema())
    with pytest.raises(JcollectError, match=f"{code.name} True"):
        stream.after_error(Broken(code), explain)


def test_delays_grow_up_to_a_limit_and_end() -> None:
    stream = resumption([])
    stream.begin()
    stream.take(schema())
    delays: list[float] = []

    def fail() -> None:
        while True:
            delays.append(stream.after_error(Broken(), explain))
            stream.begin()

    with pytest.raises(JcollectError, match="cannot reconnect to the collector at here for 5 s: UNAVAILABLE"):
        fail()
    assert delays[:3] == [0.1, 0.2, 0.4]


def test_a_cursor_survives_as_text() -> None:
    position = Cursor(1 << 63, 5, 3)
    assert Cursor.parse(str(position)) == position
    for text in ("", "1-2", "1-2-3-4", "-1-2-3", f"{1 << 64:x}-0-0", "x-y-z"):
        with pytest.raises(JcollectError, match="is not a cursor"):
            Cursor.parse(text)


def test_a_malformed_stream_is_an_error_and_not_tried_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def lying() -> Iterator[bytes]:
        calls.append(1)
        yield schema()
        yield batch(0, 3, 3).replace(b"\1", b"\2", 1) + b"\xff"

    with server(tmp_path, lying) as address, jcollect.Client(address.text) as client:
        with client.events() as stream, pytest.raises(MalformedStreamError):
            list(stream)
        assert len(calls) == 1


def test_a_collector_that_is_killed_and_started_again_leaves_a_gap(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", KILLED, tmp_path, Path(__file__).parents[1]])

    reconnect = Reconnect(seconds=20, first_delay=0.05, longest_delay=0.2)
    process = start()
    try:
        seqs: list[int] = []
        with jcollect.Client(f"unix://{tmp_path}/still.sock", reconnect=reconnect) as client:
            stream = _begun(client)
            with stream:
                for event in stream:
                    seqs.append(event.seq)
                    if len(seqs) == 3000:
                        process.send_signal(signal.SIGKILL)
                        process.wait()
                        process = start()
                    if stream.gaps and event.seq == 3000:
                        break
        again = seqs.index(0, 1) if 0 in seqs[1:] else len(seqs)
        first, second = seqs[:again], seqs[again:]
        assert first == list(range(first[0], first[0] + len(first)))
        # The new collector keeps its events, so all of them arrive.
        assert second == list(range(3001))
        assert [gap.reason for gap in stream.gaps] == [GapReason.RESTART]
    finally:
        process.kill()
        process.wait()


def _begun(client: jcollect.Client) -> Any:
    """Returns a stream as soon as the collector serves."""
    for _ in range(200):
        try:
            return client.events()
        except JcollectError:
            threading.Event().wait(0.05)
    raise AssertionError("no collector")

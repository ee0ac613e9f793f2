"""The rpc Aggregate, with the real server, client and session, and this process as the one that counts."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from conditions import wait_until
from counting_target import CountingTarget
from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.exponential_histogram import NOTHING, ExponentialHistogram
from jcollect.hub.items import ThrottledCalls
from jcollect.rpc import aggregator
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.aggregator import Aggregator
from jcollect.rpc.incoming_intervals import IncomingIntervals
from jcollect.rpc.limits import MOST_AGGREGATIONS
from jcollect.rpc.listening import claim
from jcollect.rpc.messages import MESSAGE_BYTES, aggregate_messages
from jcollect.rpc.server import Server
from jcollect.session.aggregation import CountedInterval
from jcollect.session.options import SessionSettings
from jcollect.session.session import Session
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from list_source import ListSource
from reference_histogram import histogram_of
from served import described

PLACE, CLOSE = range(2)


class Collector:
    """A session of this process, and its server."""

    def __init__(self, target: CountingTarget, address: Address) -> None:
        self.address = address
        self.target = target
        self.session = Session(SessionSettings(capacity=64, only_counts=True), open_sources=[ListSource])
        self.session.start()
        self.session.join(target.scan(), lambda probe: True, "orders").attach()

    def aggregate(self, **request: object) -> list[collector_pb2.AggregateResponse]:
        """Returns all messages of a stream."""
        with grpc.insecure_channel(self.address.target) as channel:
            stub = collector_pb2_grpc.CollectorServiceStub(channel)
            return list(stub.Aggregate(collector_pb2.AggregateRequest(**request), timeout=20))


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    target = CountingTarget(tmp_path)
    target.open_histograms()
    address = parse_address(f"unix://{tmp_path}/c.sock")
    with claim(address) as claimed:
        collector = Collector(target, address)
        server = Server(collector.session, claimed)
        try:
            yield collector
        finally:
            collector.session.detach()
            server.stop()
            collector.session.close()
            target.close()


def code_of(call: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        call()  # type: ignore[operator]
    return error.value.code()


def test_a_snapshot_has_all_calls_since_the_collector_attached(collector: Collector) -> None:
    collector.target.call(PLACE, 100, calls=104_729)
    collector.target.call(CLOSE, 0)
    messages = collector.aggregate()
    assert [message.has_more for message in messages] == [True, False]
    names = {probe.id: probe.name for probe in messages[0].probes}
    assert sorted(names.values()) == ["close__return", "close__throw", "place__return", "place__throw"]
    found = {names[each.probe]: each for each in messages[1].histograms}
    assert set(found) == {"place__return", "close__return"}
    place = found["place__return"]
    assert (place.scale, place.count, place.sum_nanos, place.zero_count) == (4, 104_729, 10_472_900, 0)
    assert list(place.bucket_counts) == [104_729]
    assert 2 ** (place.offset / 16) < 100 <= 2 ** ((place.offset + 1) / 16)
    assert (found["close__return"].count, found["close__return"].zero_count) == (1, 1)
    assert collector.session.status().counts.counted == 104_730


def test_a_stream_has_what_each_interval_adds_and_ends_with_the_session(collector: Collector) -> None:
    collector.target.call(PLACE, 100, calls=7)
    intervals: list[CountedInterval] = []
    with Aggregator(collector.address) as client:
        stream = client.aggregate(["*:place__*"], interval=0.1)
        reader = threading.Thread(target=lambda: intervals.extend(stream))
        first = next(stream)
        assert not first.histograms
        assert len(first.probes) == 2
        reader.start()
        collector.target.call(PLACE, 50, calls=3)
        wait_until(lambda: any(each.histograms for each in intervals), "the calls")
        collector.target.call(PLACE, 51)
        collector.target.call(CLOSE, 51)
        collector.session.detach()
        reader.join(10)
        assert not reader.is_alive()
    total = NOTHING
    for each in intervals:
        assert each.start_unix_nanos < each.end_unix_nanos
        for _, histogram in each.histograms:
            total += histogram
    assert total == histogram_of([50, 50, 50, 51])
    assert all(a.end_unix_nanos == b.start_unix_nanos for a, b in itertools.pairwise(intervals))


@pytest.mark.parametrize("only_begun", [False, True], ids=["with calls", "without calls"])
def test_the_rest_of_the_last_interval_is_received_at_the_end(collector: Collector, only_begun: bool) -> None:
    with Aggregator(collector.address) as client:
        stream = client.aggregate(interval=60.0)
        intervals = [next(stream)]
        reader = threading.Thread(target=lambda: intervals.extend(stream))
        reader.start()
        collector.target.call(PLACE, 50, calls=0 if only_begun else 104_729)
        client.close_stream()
        reader.join(10)
        assert not reader.is_alive()
        assert not client.lacks_rest
    assert len(intervals) == 2
    assert intervals[1].start_unix_nanos == intervals[0].end_unix_nanos < intervals[1].end_unix_nanos
    counts = [histogram.count for _, histogram in intervals[1].histograms]
    assert counts == ([] if only_begun else [104_729])


def test_a_collector_that_cannot_end_a_stream_is_left_without_the_rest(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregator, "END_AGGREGATE", "/jprobe.v1.CollectorService/OfALaterVersion")
    with Aggregator(collector.address) as client:
        stream = client.aggregate(interval=60.0)
        next(stream)
        client.close_stream()
        assert client.lacks_rest
        assert not list(stream)


def test_only_the_stream_with_the_key_is_ended(collector: Collector) -> None:
    with grpc.insecure_channel(collector.address.target) as channel:
        stub = collector_pb2_grpc.CollectorServiceStub(channel)

        def opened(key: bytes) -> Any:
            request = collector_pb2.AggregateRequest(interval_millis=60_000, key=key)
            stream = stub.Aggregate(request, timeout=20)
            next(stream)
            return stream

        def end(key: bytes) -> None:
            stub.EndAggregate(collector_pb2.EndAggregateRequest(key=key), timeout=5)

        one, other, without = opened(b"one"), opened(b"other"), opened(b"")
        for key in (b"", b"on", b"nothing"):
            end(key)
        assert code_of(lambda: opened(b"one")) == grpc.StatusCode.ALREADY_EXISTS
        assert code_of(lambda: opened(b"k" * 17)) == grpc.StatusCode.INVALID_ARGUMENT
        assert code_of(lambda: end(b"k" * 17)) == grpc.StatusCode.INVALID_ARGUMENT
        end(b"one")
        list(one)
        assert other.is_active()
        assert without.is_active()
        # A key is free again after its stream.
        assert opened(b"one").is_active()


def test_a_client_that_leaves_gives_its_place_back(collector: Collector) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Aggregator(collector.address)) for _ in range(MOST_AGGREGATIONS)]
        for client in clients:
            next(client.aggregate(interval=10.0))
    streams = []
    with grpc.insecure_channel(collector.address.target) as channel:
        stub = collector_pb2_grpc.CollectorServiceStub(channel)
        request = collector_pb2.AggregateRequest(interval_millis=10_000)

        def opened() -> bool:
            stream = stub.Aggregate(request, timeout=20)
            try:
                next(stream)
            except grpc.RpcError:
                return False
            streams.append(stream)
            return True

        for _ in range(MOST_AGGREGATIONS):
            wait_until(opened, "a place")
        with pytest.raises(grpc.RpcError) as error:
            next(stub.Aggregate(request, timeout=20))
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.value.details() == "the collector already serves 16 streams of histograms"
        for stream in streams:
            stream.cancel()
        wait_until(opened, "a place again")


def test_requests_beyond_the_limits_are_rejected(collector: Collector) -> None:
    assert code_of(lambda: collector.aggregate(interval_millis=99)) == grpc.StatusCode.INVALID_ARGUMENT
    assert code_of(lambda: collector.aggregate(globs=["*"] * 65)) == grpc.StatusCode.INVALID_ARGUMENT
    assert code_of(lambda: collector.aggregate(globs=["nothing"])) == grpc.StatusCode.NOT_FOUND
    assert code_of(lambda: collector.aggregate(pids=[1])) == grpc.StatusCode.NOT_FOUND
    many = ["x" * 512] * 64
    with pytest.raises(grpc.RpcError) as error:
        collector.aggregate(globs=many)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    few = ", ".join([f"{'x' * 100}…"] * 3)
    assert f" matches {few}, or 61 more, of those whose calls can be counted" in error.value.details()
    with (
        Aggregator(collector.address) as client,
        pytest.raises(
            JcollectError, match="no probe of this collector matches plaxe, of those whose calls can"
        ),
    ):
        list(client.aggregate(["plaxe"]))


def test_an_interval_of_many_probes_comes_in_messages_of_at_most_a_mebibyte() -> None:
    wide = ExponentialHistogram.of(np.full(300, 1 << 40, np.uint64), 100, total=1 << 62)
    probes = described(5000)
    throttled = [ThrottledCalls(probe.id, probe.id, 1 << 60) for probe in probes]
    interval = CountedInterval(probes, [(probe.id, wide) for probe in probes], 5, 9, throttled)
    messages = list(aggregate_messages(interval))
    assert len(messages) > 5
    assert all(message.ByteSize() <= MESSAGE_BYTES for message in messages)
    assert [message.has_more for message in messages] == [True] * (len(messages) - 1) + [False]
    assert {(message.start_unix_nanos, message.end_unix_nanos) for message in messages} == {(5, 9)}
    incoming = IncomingIntervals()
    complete = [found for message in messages if (found := incoming.add(message.SerializeToString()))]
    assert len(complete) == 1
    assert len(complete[0].probes) == 5000
    assert complete[0].histograms == interval.histograms
    assert complete[0].throttled == interval.throttled


@pytest.mark.parametrize(
    "histogram",
    [
        collector_pb2.Histogram(probe=1, scale=4, count=1, bucket_counts=[1]),
        collector_pb2.Histogram(scale=4, count=2, bucket_counts=[1]),
        collector_pb2.Histogram(scale=5, count=1, bucket_counts=[1]),
        collector_pb2.Histogram(scale=-11, count=1, bucket_counts=[1]),
        collector_pb2.Histogram(scale=4, count=1, offset=-2, bucket_counts=[1]),
        collector_pb2.Histogram(scale=4, count=1, offset=2**31 - 1, bucket_counts=[1]),
        collector_pb2.Histogram(scale=4, count=1, bucket_counts=[1] + [0] * 1100),
        collector_pb2.Histogram(scale=4, count=1 << 63, bucket_counts=[1 << 63]),
    ],
)
def test_a_malformed_histogram_of_a_server_is_an_error(histogram: collector_pb2.Histogram) -> None:
    message = collector_pb2.AggregateResponse(probes=[collector_pb2.Probe(id=0)], histograms=[histogram])
    with pytest.raises(MalformedStreamError):
        IncomingIntervals().add(message.SerializeToString())

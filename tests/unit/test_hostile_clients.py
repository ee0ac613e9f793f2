"""Rejects clients that request too much or keep resources; no other client is affected."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import jcollect.hub.hub
import jcollect.rpc.limits
import jcollect.rpc.request_deadline
import jcollect.rpc.server
import jcollect.rpc.service
from conditions import wait_until
from jcollect.hub.items import Schema
from jcollect.hub.subscription import Subscription
from jcollect.probes.globs import Budget, TooCostlyError, matcher, names_matcher
from jcollect.rpc.address import Address
from jcollect.session.status import Status
from jcollect.sources.columns import Columns
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from received import batches, received
from served import StillSource, can_connect, described, one_event, serving, stub_at

PROBES = 100


@pytest.fixture
def source() -> StillSource:
    return StillSource(described(PROBES))


@pytest.fixture
def address(source: StillSource, tmp_path: Path) -> Iterator[Address]:
    with serving(source, tmp_path) as address:
        yield address


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


# Requests

TOO_LARGE = [
    ({"globs": ["*"] * 65}, "the request has 65 globs; the limit is 64"),
    ({"globs": ["x", "*" * 513]}, "the request has a glob of 513 characters; the limit is 512"),
    ({"pids": range(1025)}, "the request has 1,025 PIDs; the limit is 1,024"),
]


@pytest.mark.parametrize(("fields", "sentence"), TOO_LARGE, ids=["globs", "glob", "pids"])
def test_a_request_that_is_too_large_is_an_invalid_argument(
    address: Address, fields: dict[str, Sequence[Any]], sentence: str
) -> None:
    with stub_at(address) as stub:
        for call in (
            lambda: stub.ListProbes(collector_pb2.ListProbesRequest(**fields), timeout=10),
            lambda: stub.GetStatus(collector_pb2.GetStatusRequest(**fields), timeout=10),
            lambda: next(stub.Subscribe(collector_pb2.SubscribeRequest(**fields), timeout=10)),
        ):
            assert refusal(call) == (grpc.StatusCode.INVALID_ARGUMENT, sentence)


def test_a_request_of_just_the_maximum_size_is_answered(address: Address) -> None:
    globs = ["*" + "x" * 511] * 63 + ["place"]
    with stub_at(address) as stub:
        answer = stub.ListProbes(collector_pb2.ListProbesRequest(globs=globs), timeout=10)
        assert len(answer.probes) == PROBES
        pids = [4711, *range(1, 1024)]
        answer = stub.ListProbes(collector_pb2.ListProbesRequest(pids=pids), timeout=10)
        assert len(answer.probes) == PROBES


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_request_of_megabytes_is_not_even_read(address: Address, compression: grpc.Compression) -> None:
    request = collector_pb2.ListProbesRequest(globs=["*a" * (8 << 20)])
    with stub_at(address, compression=compression) as stub:
        code, _ = refusal(lambda: stub.ListProbes(request, timeout=20))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.ListProbes(collector_pb2.ListProbesRequest(), timeout=10).probes


def test_a_long_glob_without_a_match_is_not_repeated_in_full(address: Address) -> None:
    globs = ["x" * 512, *(f"{number}y" for number in range(63))]
    with stub_at(address) as stub:
        stream = stub.Subscribe(collector_pb2.SubscribeRequest(globs=globs), timeout=10)
        code, details = refusal(lambda: next(stream))
    assert code == grpc.StatusCode.NOT_FOUND
    assert details == f"no probe of this collector matches {'x' * 100}…, 0y, 1y, or 61 more"


# Matching


def test_globs_mean_what_fnmatch_says() -> None:
    names = ("com.acme.Orders", "place__entry", "a[b", "x\ny", "")
    for globs, expected in [
        (["com.*"], True),
        (["Com.*"], False),
        (["*[!x]rders"], True),
        (["a[[]b"], True),
        (["a[b"], True),
        (["x?y"], True),
        (["x[\n]y"], True),
        (["place"], False),
        (["nothing", "place__entry"], True),
        (["[]", "[!]", "[z-a]", "["], False),
        ([], True),
    ]:
        assert names_matcher(globs)(names[:4]) == expected, globs
    assert names_matcher([""])(names)


@pytest.mark.parametrize(
    "glob", ["*a" * 255 + "b", "*" + "a" * 510 + "b", "*" + "a?" * 255 + "b", "*" + "[ab]" * 127 + "c"]
)
def test_the_worst_glob_costs_its_length_times_the_names(glob: str) -> None:
    """A step takes about a nanosecond on a current machine, so the limit rules out quadratic and exponential
    time."""
    budget = Budget(10**12)
    name = "a" * 20_000 + "d"
    matches = names_matcher([glob], budget)
    begun = time.thread_time()
    for _ in range(10):
        assert not matches([name, name + "bc"[glob.endswith("c")] + "d"])
    assert time.thread_time() - begun < 5
    assert 10**12 - budget.left < 10 * 2 * 20_002 * (512 + 2) + 10_000


def test_matching_beyond_its_budget_is_stopped() -> None:
    probes = described(1000, name="{}" + "a" * 1000)
    matches = matcher(["*a?" * 170 + "[b]"], Budget(10**8))
    with pytest.raises(TooCostlyError):
        list(map(matches, probes))


def test_a_request_that_takes_too_long_to_match_is_refused(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jcollect.hub.hub, "MATCH_STEPS", 1000)
    costly = "matching the globs takes too long; use fewer or simpler globs"
    fields: dict[str, Any] = {"globs": ["*Order*x"]}
    with stub_at(address) as stub:
        for call in (
            lambda: stub.ListProbes(collector_pb2.ListProbesRequest(**fields), timeout=10),
            lambda: stub.GetStatus(collector_pb2.GetStatusRequest(**fields), timeout=10),
            lambda: next(stub.Subscribe(collector_pb2.SubscribeRequest(**fields), timeout=10)),
        ):
            assert refusal(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, costly)
        assert len(stub.ListProbes(collector_pb2.ListProbesRequest(), timeout=10).probes) == PROBES


def test_globs_that_are_too_expensive_for_later_probes_end_only_their_own_stream(
    source: StillSource, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stub_at(address) as stub:
        costly = stub.Subscribe(collector_pb2.SubscribeRequest(globs=["*Order*Service"]), timeout=20)
        cheap = stub.Subscribe(collector_pb2.SubscribeRequest(globs=["place"]), timeout=20)
        assert len(next(costly).schema.probes) == len(next(cheap).schema.probes) == PROBES
        monkeypatch.setattr(jcollect.hub.hub, "_ADD_STEPS", 1)
        monkeypatch.setattr(jcollect.hub.hub, "_ADD_STEPS_OF_ONE", 10)
        source.hub.add(described(10, PROBES))
        assert len(next(cheap).schema.probes) == 10
        source.hub.publish(one_event(PROBES))
        assert list(next(cheap).batch.values) == [42]
        code, details = refusal(lambda: next(costly))
        assert (code, details[:18]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "matching the globs")


def test_events_continue_while_a_subscribers_globs_are_matched(
    source: StillSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader takes the hub's lock for each batch."""
    begun, may_end = threading.Event(), threading.Event()

    def endless(globs: Sequence[str], budget: Budget) -> Callable[[object], bool]:
        def matches(probe: object) -> bool:
            begun.set()
            return may_end.wait(30)

        return matches

    before = source.hub.subscribe(())
    monkeypatch.setattr(jcollect.hub.hub, "matcher", endless)
    found: list[Subscription] = []
    matching = threading.Thread(target=lambda: found.append(source.hub.subscribe(["*"])))
    matching.start()
    try:
        assert begun.wait(10)
        publishing = threading.Thread(target=source.hub.publish, args=(one_event(3),), daemon=True)
        publishing.start()
        publishing.join(10)
        assert not publishing.is_alive()
        # The new subscriber also gets the probes that are added in the meantime.
        adding = threading.Thread(target=source.hub.add, args=(described(1, PROBES),), daemon=True)
        adding.start()
        adding.join(10)
        assert not adding.is_alive()
        source.hub.remove([0, 1])
    finally:
        may_end.set()
        matching.join()
    (after,) = found
    source.hub.publish(one_event(PROBES))
    source.hub.end()
    assert [list(columns.values) for columns in batches(received(before))] == [[42], [42]]
    first, more, event = received(after)
    assert isinstance(first, Schema)
    assert isinstance(more, Schema)
    assert isinstance(event, Columns)
    assert (len(first.probes), [probe.id for probe in more.probes]) == (PROBES, [PROBES])


# Calls


def test_one_call_at_a_time_scans_all_probes_and_pauses_after_it(
    source: StillSource, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = most = 0
    ended: list[float] = []
    rests: list[float] = []
    lock = threading.Lock()

    nothing = source.status(summary_only=True)

    def status(*_: object) -> Status:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            rests.extend(time.monotonic() - last for last in ended[-1:])
        time.sleep(0.02)
        with lock:
            now -= 1
            ended.append(time.monotonic())
        return replace(nothing, pid=7)

    monkeypatch.setattr(source, "status", status)
    with contextlib.ExitStack() as stack:
        stubs = [stack.enter_context(stub_at(address)) for _ in range(8)]
        calls = [
            stub.GetStatus.future(collector_pb2.GetStatusRequest(), timeout=20)
            for stub in stubs
            for _ in "abc"
        ]
        assert [call.result().pid for call in calls] == [7] * 24
    assert most == 1
    assert min(rests) >= 0.015


def test_a_call_that_waits_for_its_turn_gives_up_with_its_client(
    source: StillSource, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, may_end = threading.Semaphore(0), threading.Event()

    def describe(*_: object) -> list[collector_pb2.Probe]:
        called.release()
        may_end.wait(30)
        return []

    monkeypatch.setattr(source, "describe", describe)
    with stub_at(address) as stub:
        first = stub.ListProbes.future(collector_pb2.ListProbesRequest(), timeout=30)
        try:
            assert called.acquire(timeout=10)
            given_up = stub.ListProbes.future(collector_pb2.ListProbesRequest(), timeout=0.2)
            assert given_up.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        finally:
            may_end.set()
        assert len(first.result().probes) == 0
        last = stub.ListProbes(collector_pb2.ListProbesRequest(), timeout=10)
        assert len(last.probes) == 0
    # Only the last call has run, and not the abandoned one.
    assert [called.acquire(blocking=False) for _ in range(2)] == [True, False]


def test_streams_leave_room_for_other_calls(
    source: StillSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jcollect.rpc.service, "MOST_STREAMS", 2)
    with serving(source, tmp_path) as address, stub_at(address) as stub:
        request = collector_pb2.SubscribeRequest()
        streams = [stub.Subscribe(request, timeout=30) for _ in range(2)]
        assert [len(next(stream).schema.probes) for stream in streams] == [PROBES] * 2
        refused = refusal(lambda: next(stub.Subscribe(request, timeout=10)))
        assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the collector already serves 2 streams")
        assert stub.GetStatus(collector_pb2.GetStatusRequest(), timeout=10).probes
        streams[0].cancel()
        wait_until(lambda: len(source.hub.subscribers()) == 1, "one of them has left")
        wait_until(lambda: _is_served(stub, request), "another has its place")


def _is_served(
    stub: collector_pb2_grpc.CollectorServiceStub, request: collector_pb2.SubscribeRequest
) -> bool:
    stream = stub.Subscribe(request, timeout=10)
    try:
        return len(next(stream).schema.probes) == PROBES
    except grpc.RpcError:
        return False
    finally:
        stream.cancel()


def test_reflection_and_health_are_bounded_too(
    source: StillSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jcollect.rpc.server, "MOST_REFLECTIONS", 1)
    with serving(source, tmp_path) as address, grpc.insecure_channel(address.target) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        going_on = threading.Event()

        def ask() -> Iterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="*")
            going_on.wait(30)

        stream = reflection.ServerReflectionInfo(ask(), timeout=30)
        services = {service.name for service in next(stream).list_services_response.service}
        assert {"jprobe.v1.CollectorService", "grpc.health.v1.Health"} <= services
        refused = refusal(lambda: next(reflection.ServerReflectionInfo(ask(), timeout=10)))
        assert refused[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        stream.cancel()
        going_on.set()
        health = health_pb2_grpc.HealthStub(channel)
        for name, expected in (("", None), ("jprobe.v1.CollectorService", None), ("x", "NOT_FOUND")):
            request = health_pb2.HealthCheckRequest(service=name)
            if expected is None:
                answer = health.Check(request, timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            else:
                assert refusal(lambda r=request: health.Check(r, timeout=10))[0].name == expected  # type: ignore[misc]
        # A watcher of invented names would have each of them kept forever.
        watched = refusal(lambda: next(health.Watch(health_pb2.HealthCheckRequest(service="y"), timeout=10)))
        assert watched[0] == grpc.StatusCode.UNIMPLEMENTED


def test_calls_without_a_request_are_ended(
    source: StillSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All slots are in use, and no other client would be answered."""
    monkeypatch.setattr(jcollect.rpc.request_deadline, "_REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(jcollect.rpc.server, "MOST_CALLS", 6)
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(30)
        yield from ()

    service = "/jprobe.v1.CollectorService"
    methods = [f"{service}/GetStatus", f"{service}/Subscribe", "/grpc.health.v1.Health/Check"] * 2
    with serving(source, tmp_path) as address, grpc.insecure_channel(address.target) as channel:
        calls = [channel.stream_stream(method)(nothing(), timeout=30) for method in methods]
        try:
            for call in calls:
                assert refusal(lambda call=call: next(call))[0] == grpc.StatusCode.CANCELLED  # type: ignore[misc]
            assert can_connect(address)
        finally:
            over.set()
        without = channel.stream_unary(f"{service}/GetStatus")
        assert refusal(lambda: without(iter(()), timeout=10)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "the call has no request",
        )

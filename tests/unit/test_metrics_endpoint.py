"""The HTTP endpoint, with the real session, and this process as the one that counts; hostile clients
included."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from conditions import wait_until
from counting_target import CountingTarget
from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.metrics.families import DURATION
from jcollect.metrics.readings import Readings
from jcollect.probes.probe import THROW
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.limits import Turns
from jcollect.rpc.listening import claim
from jcollect.session.options import SessionSettings
from jcollect.session.session import Session
from jcollect.web import http_request
from jcollect.web.http_server import MOST_CONNECTIONS, HttpServer
from jcollect.web.metrics_endpoint import MetricsEndpoint
from jcollect.workers import Failures
from list_source import ListSource
from metrics_text import PROTOBUF, ask, buckets_of, connect, families_in, receive, samples_of, send, value

PLACE, CLOSE = range(2)


class Endpoint:
    """A session of this process, and its endpoint."""

    def __init__(
        self, target: CountingTarget, session: Session, server: HttpServer, readings: Readings
    ) -> None:
        self.target = target
        self.session = session
        self.address: Address = server.address
        self.readings = readings
        self.turns = Turns()

    def scrape(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        answer = ask(self.address)
        assert answer.status == 200
        return samples_of(answer.content)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    target = CountingTarget(tmp_path)
    target.open_histograms()
    with claim(parse_address(f"unix://{tmp_path}/m.sock")) as claimed:
        session = Session(SessionSettings(capacity=64, only_counts=True), open_sources=[ListSource])
        session.start()
        session.join(target.scan(), lambda probe: True, "orders").attach()
        readings = Readings(session, 500)
        server = HttpServer(claimed, MetricsEndpoint(readings, Turns()).answer, session.failures)
        try:
            yield Endpoint(target, session, server, readings)
            session.failures.check()
        finally:
            server.stop()
            readings.close()
            session.detach()
            session.close()
            target.close()


def is_served(endpoint: Endpoint) -> bool:
    """Returns false if the endpoint has no connection left."""
    try:
        return ask(endpoint.address).status == 200
    except ConnectionError:
        return False


def test_a_scrape_has_the_calls_of_each_method_by_outcome(endpoint: Endpoint) -> None:
    endpoint.target.call(PLACE, 100, calls=104_729)
    endpoint.target.call(PLACE, 5_000, calls=3, kind=THROW)
    endpoint.target.call(CLOSE, 0)
    found = endpoint.scrape()
    place = {"pid": str(os.getpid()), "process": "orders", "class": "com.acme.Orders", "method": "place"}
    assert value(found, f"{DURATION}_count", **place, outcome="return") == 104_729
    assert value(found, f"{DURATION}_sum", **place, outcome="return") == 10_472_900
    assert value(found, f"{DURATION}_bucket", **place, outcome="return", le="64") == 0
    assert value(found, f"{DURATION}_bucket", **place, outcome="return", le="256") == 104_729
    assert value(found, f"{DURATION}_count", **place, outcome="throw") == 3
    assert value(found, f"{DURATION}_bucket", method="close", le="64") == 1
    assert value(found, f"{DURATION}_count", method="other") == 0
    assert value(found, "jprobe_hits_total", account="counted") == 104_733
    assert value(found, "jprobe_process_hits_total", account="counted") == 104_733
    assert value(found, "jprobe_method_series") == 2
    assert value(found, "jprobe_call_durations_available") == 1
    assert value(found, "process_resident_memory_bytes") > 1 << 20
    assert value(found, "process_cpu_seconds_total") > 0


def test_prometheus_gets_native_histograms(endpoint: Endpoint) -> None:
    endpoint.target.call(PLACE, 100, calls=7)
    answer = ask(endpoint.address, accept=PROTOBUF)
    assert answer.headers["content-type"].startswith(
        "application/vnd.google.protobuf; proto=io.prometheus.client."
    )
    metrics = families_in(answer.content)[DURATION].metric
    (place,) = (
        each for each in metrics if ("method", "place") in {(one.name, one.value) for one in each.label}
    )
    ((index, count),) = buckets_of(place.histogram).items()
    assert 2 ** ((index - 1) / 16) < 100 <= 2 ** (index / 16)
    assert count == 7


def test_counters_of_two_scrapers_never_fall(endpoint: Endpoint) -> None:
    problems: list[str] = []
    over = threading.Event()

    def scrape() -> None:
        before: dict[object, float] = {}
        while not over.is_set():
            now = endpoint.scrape()
            for key, number in before.items():
                name = key[0]  # type: ignore[index]
                if name.endswith(("_total", "_count", "_bucket", "_sum")) and now.get(key, -1) < number:
                    problems.append(f"{key}: {number} to {now.get(key)}")
            before = dict(now)

    scrapers = [threading.Thread(target=scrape) for _ in range(2)]
    for each in scrapers:
        each.start()
    for _ in range(50):
        endpoint.target.call(PLACE, 100, calls=11)
        endpoint.target.call(CLOSE, 70)
        time.sleep(0.01)
    over.set()
    for each in scrapers:
        each.join(20)
    assert not problems
    assert value(endpoint.scrape(), f"{DURATION}_count", method="place") == 550


def test_calls_of_exited_processes_stay_in_the_totals(endpoint: Endpoint) -> None:
    endpoint.target.call(PLACE, 100, calls=7)
    (tracee,) = endpoint.session._tracees
    endpoint.session.leave(tracee)
    for _ in range(3):
        found = endpoint.scrape()
        assert value(found, f"{DURATION}_count", method="place") == 7
        assert value(found, "jprobe_hits_total", account="counted") == 7
        assert value(found, "jprobe_processes") == 0


def test_only_get_and_head_of_the_path_are_answered(endpoint: Endpoint) -> None:
    whole = ask(endpoint.address)
    head = ask(endpoint.address, method="HEAD")
    assert (head.status, head.content) == (200, b"")
    assert abs(int(head.headers["content-length"]) - len(whole.content)) < 100
    assert ask(endpoint.address, "/").status == 404
    assert ask(endpoint.address, "/metrics/../etc").status == 404
    assert ask(endpoint.address, "/metrics?x=1").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"):
        answer = ask(endpoint.address, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/9.9\r\n\r\n", 505),
        (b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789", 413),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * http_request.MOST_BYTES + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 100_000, 431),
        (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", 400),
    ],
)
def test_a_malformed_request_gets_an_error(endpoint: Endpoint, request_text: bytes, status: int) -> None:
    assert send(endpoint.address, request_text).status == status
    assert endpoint.scrape()


def test_a_slow_client_is_disconnected(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "READ_SECONDS", 0.3)
    with connect(endpoint.address) as connection:
        begun = time.monotonic()
        for _ in range(10):
            connection.sendall(b"G")
            time.sleep(0.05)
            if time.monotonic() - begun > 0.25:
                break
        assert receive(connection).status == 408
        assert time.monotonic() - begun < 5


def test_a_client_that_reads_nothing_is_disconnected(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_request, "WRITE_SECONDS", 0.3)
    text = b"GET /metrics HTTP/1.1\r\n\r\n"
    silent = [connect(endpoint.address) for _ in range(MOST_CONNECTIONS)]
    try:
        for each in silent:
            each.sendall(text)
        wait_until(lambda: is_served(endpoint), "a free connection", 10)
    finally:
        for each in silent:
            each.close()


def test_slow_clients_keep_no_scraper_out(endpoint: Endpoint) -> None:
    is_begun, over = threading.Event(), threading.Event()
    replaced: list[int] = []
    threads_before = len(os.listdir("/proc/self/task"))

    def dribble() -> None:
        """Keeps 100 connections open, each with an unfinished request; replaces those that are dropped."""
        slow = [connect(endpoint.address) for _ in range(100)]
        is_begun.set()
        while not over.wait(0.05):
            for number, each in enumerate(slow):
                try:
                    each.sendall(b"G")
                except OSError:
                    each.close()
                    replaced.append(number)
                    slow[number] = connect(endpoint.address)
        for each in slow:
            each.close()

    attacker = threading.Thread(target=dribble)
    attacker.start()
    try:
        assert is_begun.wait(20)
        for _ in range(20):
            time.sleep(0.02)
            assert ask(endpoint.address).status == 200
            assert len(os.listdir("/proc/self/task")) <= threads_before + 1 + MOST_CONNECTIONS + 2
    finally:
        over.set()
        attacker.join(20)
    assert replaced, "the attacker has done nothing"


def test_the_slowest_client_is_dropped_first(endpoint: Endpoint) -> None:
    silent = []
    for _ in range(MOST_CONNECTIONS):
        silent.append(connect(endpoint.address))
        silent[-1].sendall(b"GET /metrics HTTP/1.1\r\n")
    try:
        assert ask(endpoint.address).status == 200
        assert silent[0].recv(1) == b""
        silent[1].sendall(b"\r\n")
        assert receive(silent[1]).status == 200
    finally:
        for each in silent:
            each.close()


def test_connections_beyond_those_being_answered_are_rejected_at_once(tmp_path: Path) -> None:
    may_answer = threading.Event()
    answering = threading.Semaphore(0)

    def answer(request: http_request.Request) -> http_request.Response:
        answering.release()
        may_answer.wait(20)
        return http_request.Response(HTTPStatus.OK, b"x")

    failures = Failures()
    with claim(parse_address(f"unix://{tmp_path}/m.sock")) as claimed:
        server = HttpServer(claimed, answer, failures)
        busy = [connect(server.address) for _ in range(MOST_CONNECTIONS)]
        try:
            for each in busy:
                each.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
                assert answering.acquire(timeout=10)
            with connect(server.address) as further:
                assert receive(further).status == 503
            may_answer.set()
            assert [receive(each).status for each in busy] == [200] * MOST_CONNECTIONS
        finally:
            may_answer.set()
            for each in busy:
                each.close()
            server.stop()
    failures.check()


def test_a_client_that_never_stops_sending_is_disconnected(endpoint: Endpoint) -> None:
    with connect(endpoint.address) as connection:
        connection.sendall(b"POST /metrics HTTP/1.1\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 405 ")

        def is_disconnected() -> bool:
            try:
                connection.sendall(b"x")
            except OSError:
                return True
            return False

        wait_until(is_disconnected, "the end of the connection", 5)


def test_a_busy_collector_says_when_to_come_back(endpoint: Endpoint) -> None:
    turns = Turns(seconds=0.05)
    answer = MetricsEndpoint(endpoint.readings, turns).answer
    request = http_request.Request("GET", "/metrics", "")
    with turns.without_client():
        response = answer(request)
    assert (response.status, dict(response.headers)) == (503, {"Retry-After": "5"})
    wait_until(lambda: answer(request).status == 200, "a turn")


def test_only_its_owner_can_use_the_socket(endpoint: Endpoint) -> None:
    assert endpoint.address.path is not None
    assert stat.S_IMODE(os.stat(endpoint.address.path).st_mode) == 0o600


def test_two_endpoints_cannot_share_an_address(endpoint: Endpoint) -> None:
    with pytest.raises(
        JcollectError, match="in use by another collector; choose another address with --metrics"
    ):
        claim(endpoint.address, option="--metrics")
    assert ask(endpoint.address).status == 200


def test_tcp_needs_insecure() -> None:
    with pytest.raises(InvalidCommandError, match=r"read which methods; .* or add --insecure"):
        claim(parse_address("127.0.0.1:0"), option="--metrics", readable="which methods")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_listens_at_tcp_addresses(endpoint: Endpoint, host: str) -> None:
    with claim(parse_address(f"{host}:0"), insecure=True, option="--metrics") as claimed:
        answer = MetricsEndpoint(endpoint.readings, Turns()).answer
        server = HttpServer(claimed, answer, endpoint.session.failures)
        try:
            assert ask(server.address).status == 200
            with pytest.raises(JcollectError, match="in use; choose another one with --metrics"):
                claim(server.address, insecure=True, option="--metrics")
        finally:
            server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server.address)


def test_calls_that_cannot_be_counted_are_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Reluctant(ListSource):
        def raise_semaphores(self, sites: object) -> object:  # type: ignore[override]
            raise JcollectError("cannot count calls: the kernel is too old")

    target = CountingTarget(tmp_path)
    target.open_histograms()
    session = Session(SessionSettings(capacity=64), open_sources=[Reluctant])
    session.start()
    session.join(target.scan(), lambda probe: True, "orders").attach()
    readings = Readings(session, 500)
    try:
        for _ in range(3):
            assert "too old" in readings.read().problem
        warning = "metrics have no durations of calls: cannot count calls: the kernel is too old"
        assert capfd.readouterr().err.count(warning) == 1
    finally:
        readings.close()
        session.detach()
        session.close()
        target.close()

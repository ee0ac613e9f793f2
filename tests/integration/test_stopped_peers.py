"""A peer that is stopped or does not read neither keeps jcollect from exiting nor falsifies its output."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from collector_fixtures import JCOLLECT, Bench, Command, Target, events_of

from conditions import require_bpf, wait_until
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from stub_image import ENTRY, LONG, Method, StubImage

# Streams have 3 s after a stop; the rest is for a busy machine.
ENDS_WITHIN = 15.0
# More than any socket, pipe or HTTP/2 window can hold.
CALLS = 250_000


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


@pytest.fixture
def target(bench: Bench) -> Target:
    return bench.target(StubImage([Method("com.acme.Orders", "place", (LONG,), kinds=(ENTRY,))]), "nt")


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text(), "it is stopped")


def fire(target: Target) -> None:
    target.fire(4, CALLS // 4)


def ended_with_counts(collector: Command, code: int = 0) -> tuple[float, int]:
    """Returns the time to exit with complete hit counts, and the losses of subscribers."""
    begun = time.monotonic()
    last = collector.wait(code)
    took = time.monotonic() - begun
    assert f"{CALLS:,} hits = {CALLS:,} delivered + 0 lost" in last
    match = re.search(r"; subscribers: [\d,]+ served, ([\d,]+) events lost", last)
    assert match, last
    return took, int(match[1].replace(",", ""))


@pytest.mark.parametrize(
    ("why", "listen"),
    [
        pytest.param("SIGINT", "unix", marks=pytest.mark.takes_long),
        ("SIGTERM", "tcp"),
        ("duration", "unix"),
        pytest.param("exit", "unix", marks=pytest.mark.takes_long),
    ],
)
def test_a_stopped_subscriber_is_disconnected_after_the_grace_period(
    bench: Bench, target: Target, listen: str, why: str
) -> None:
    options = ["--insecure", "--listen", "127.0.0.1:0"] if listen == "tcp" else []
    options += ["--duration", "4"] if why == "duration" else []
    collector = bench.attach(target, *options)
    observer = bench.observe(collector.status().split("serving ")[1], "-o", "json")
    stop(observer.process.pid)
    fire(target)
    if why == "exit":
        target.end()
    elif why != "duration":
        collector.process.send_signal(getattr(signal, why))
    took, lost = ended_with_counts(collector)
    assert took < ENDS_WITHIN
    assert 0 < lost <= CALLS
    assert collector.errors[-2] == (
        "jcollect: warning: 1 subscriber did not read to the end; the rest of their events is lost"
    )
    assert not Path(f"/run/jprobe/{target.pid}.sock").exists()
    observer.process.send_signal(signal.SIGCONT)
    # The client has what it could hold, and an error that this is not all.
    assert "the collector at" in observer.wait(code=1)
    assert len(events_of(observer)) <= CALLS - lost


def test_a_client_that_never_reads_is_disconnected_after_the_grace_period(
    bench: Bench, target: Target
) -> None:
    collector = bench.attach(target)
    with grpc.insecure_channel(f"unix:///run/jprobe/{target.pid}.sock") as channel:
        stub = collector_pb2_grpc.CollectorServiceStub(channel)
        stream = stub.Subscribe(collector_pb2.SubscribeRequest())
        wait_until(lambda: subscribers(target), "it has subscribed")
        fire(target)
        collector.process.send_signal(signal.SIGINT)
        took, lost = ended_with_counts(collector)
        stream.cancel()
    assert took < ENDS_WITHIN
    assert 0 < lost <= CALLS


def subscribers(target: Target) -> list[collector_pb2.Subscriber]:
    with Client(parse_address(str(target.pid))) as client:
        return list(client.status().subscribers)


def run_at_once(bench: Bench, *commands: Sequence[object]) -> list[subprocess.CompletedProcess[str]]:
    """Runs jcollect with each of these arguments, concurrently."""
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda arguments: bench.run(*arguments), commands))


@contextmanager
def unread(*arguments: object) -> Iterator[Command]:
    """Starts jcollect with a pipe as stdout that is not read."""
    reading, writing = os.pipe()
    command = Command(arguments, stdout=writing)
    os.close(writing)
    try:
        yield command
    finally:
        command.kill()
        os.close(reading)


def test_an_unread_stdout_blocks_neither_the_service_nor_the_exit_of_attach(
    bench: Bench, target: Target
) -> None:
    with unread("attach", target.pid, "-o", "json") as collector:
        assert collector.status().startswith("armed 1 probe ")
        observer = bench.observe(target.pid, "-o", "json", "--max-events", CALLS)
        fire(target)
        assert observer.wait() == f"observed {CALLS:,} events; 0 lost"
        collector.process.send_signal(signal.SIGTERM)
        took, lost = ended_with_counts(collector)
        assert took < ENDS_WITHIN
        assert 0 < lost <= CALLS
        assert collector.errors[-2] == (
            "jcollect: warning: stdout was not read to the end; the rest was not printed"
        )


@pytest.mark.parametrize(("verb", "why"), [("observe", "SIGINT"), ("top", "duration")])
def test_an_unread_stdout_blocks_the_exit_of_no_client(
    bench: Bench, target: Target, verb: str, why: str
) -> None:
    collector = bench.attach(target)
    options = {"observe": ["-o", "json"], "top": ["--events", "--interval", "0.1", "--rows", "1"]}[verb]
    options += ["--duration", "2"] if why == "duration" else []
    with unread(verb, target.pid, *options) as client:
        wait_until(lambda: subscribers(target), "it has subscribed")
        fire(target)
        if why == "SIGINT":
            client.process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        client.wait()
        assert time.monotonic() - begun < ENDS_WITHIN
        if verb == "observe":
            assert client.errors[-1].startswith("observed ")
    collector.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_with_the_hit_counts(bench: Bench, target: Target, number: int) -> None:
    collector = bench.attach(target)
    observer = bench.observe(target.pid, "-o", "json")
    stop(observer.process.pid)
    fire(target)
    begun = time.monotonic()
    collector.process.send_signal(number)
    time.sleep(0.6)  # Signals within 0.5 s count as one.
    collector.process.send_signal(number)
    _, lost = ended_with_counts(collector, 128 + number)
    assert lost > 0
    assert time.monotonic() - begun < 3.0, "before the grace was over"
    assert target.semaphores() == 0
    observer.kill()


def test_two_interrupts_at_once_are_one(bench: Bench, target: Target) -> None:
    collector = bench.attach(target)
    fire(target)
    for _ in range(2):
        collector.process.send_signal(signal.SIGINT)
    assert ended_with_counts(collector) == (pytest.approx(0, abs=ENDS_WITHIN), 0)


def test_a_stopped_collector_is_named(bench: Bench, target: Target) -> None:
    collector = bench.attach(target)
    stop(collector.process.pid)
    begun = time.monotonic()
    verbs = ("status", "observe", "top", "hist")
    ps, *others = run_at_once(bench, ["ps"], *([verb, target.pid] for verb in verbs))
    assert time.monotonic() - begun < ENDS_WITHIN
    said = (
        f"the collector at unix:///run/jprobe/{target.pid}.sock (PID {collector.process.pid}) has not "
        f"answered within 5 s: it is stopped; resume it with kill -CONT {collector.process.pid}"
    )
    assert ps.returncode == 0
    assert f"jcollect: warning: {said}" in ps.stderr.splitlines()
    assert f"unix:///run/jprobe/{target.pid}.sock (no answer)" in ps.stdout
    for result in others:
        assert (result.returncode, result.stderr.splitlines()[-1]) == (1, f"jcollect: {said}"), result
        assert "no jprobe agent" not in result.stdout
    collector.process.send_signal(signal.SIGCONT)
    collector.end()


@pytest.mark.takes_long
def test_a_stopped_collector_at_another_address_is_named(bench: Bench, target: Target) -> None:
    collector = bench.attach(target, "--insecure", "--listen", "127.0.0.1:0")
    address = collector.status().split("serving ")[1]
    stop(collector.process.pid)
    for result in run_at_once(bench, ["status", address], ["observe", address]):
        assert result.returncode == 1
        assert result.stderr.startswith(f"jcollect: the collector at {address} has not answered within 5 s")
    collector.process.send_signal(signal.SIGCONT)
    collector.end()


# As `jcollect`, with pings after 1 s instead of 10, and 2 s for an answer instead of 20.
HASTY = """
import jcollect.rpc.keepalive as keepalive
hasty = [(name, {10_000: 1000, 20_000: 2000}.get(value, value)) for name, value in keepalive.SERVER_OPTIONS]
keepalive.SERVER_OPTIONS[:] = hasty
keepalive.OPTIONS[:] = hasty[:len(keepalive.OPTIONS)]
keepalive.ANSWER_SECONDS = 2
from jcollect.commands import main
main()
"""


@contextmanager
def hasty(*arguments: object) -> Iterator[Command]:
    command = Command(arguments, program=(sys.executable, "-c", HASTY))
    try:
        yield command
    finally:
        command.kill()


@pytest.mark.parametrize("listen", ["unix", pytest.param("tcp", marks=pytest.mark.takes_long)])
@pytest.mark.parametrize(
    "is_full", [pytest.param(False, id="idle", marks=pytest.mark.takes_long), pytest.param(True, id="full")]
)
def test_a_stopped_subscriber_is_found_dead_and_a_lazy_one_is_not(
    bench: Bench, target: Target, listen: str, is_full: bool
) -> None:
    options = ["--insecure", "--listen", "127.0.0.1:0"] if listen == "tcp" else []
    with hasty("attach", target.pid, *options) as collector:
        address = collector.status().split("serving ")[1]

        def peers() -> int:
            with Client(parse_address(address)) as client:
                return len(client.status().subscribers)

        with grpc.insecure_channel(address) as channel:
            stub = collector_pb2_grpc.CollectorServiceStub(channel)
            stream = stub.Subscribe(collector_pb2.SubscribeRequest())
            wait_until(lambda: peers() == 1, "the lazy one has subscribed")
            observer = bench.observe(address)
            assert peers() == 2
            stop(observer.process.pid)
            if is_full:
                fire(target)
            wait_until(lambda: peers() == 1, "the stopped one is disconnected", 15)
            again = time.monotonic() + 3
            wait_until(lambda: time.monotonic() > again, "the lazy one has had its time as well")
            assert peers() == 1
            stream.cancel()
        observer.kill()


def test_a_collector_that_is_stopped_in_mid_stream_is_found_dead(bench: Bench, target: Target) -> None:
    collector = bench.attach(target)
    with hasty("observe", target.pid) as observer:
        assert observer.status().startswith("observing 1 probe ")
        target.fire(1, 5)
        wait_until(lambda: len(observer.output) == 5, "events arrive")
        stop(collector.process.pid)
        assert observer.wait(code=1) == (
            f"jcollect: the collector at unix:///run/jprobe/{target.pid}.sock (PID {collector.process.pid}) "
            f"does not answer any more: it is stopped; resume it with kill -CONT {collector.process.pid}"
        )
        assert observer.errors[-2] == "observed 5 events; 0 lost"
    collector.process.send_signal(signal.SIGCONT)
    collector.end()


def test_an_unread_stderr_blocks_no_exit(target: Target) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    collector = subprocess.Popen([JCOLLECT, "attach", str(target.pid)], stderr=writing)
    os.close(writing)
    try:
        wait_until(lambda: target.semaphores() == 1, "it is attached")
        collector.send_signal(signal.SIGINT)
        assert collector.wait(ENDS_WITHIN) == 0
        assert target.semaphores() == 0
    finally:
        collector.kill()
        os.close(reading)

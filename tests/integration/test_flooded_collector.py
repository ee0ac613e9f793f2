"""A collector with a flooded socket, or without a free descriptor, keeps running, and so do its
subscribers.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_fixtures import Bench, Command, Target, events_of

from conditions import require_bpf, wait_until
from stub_image import ENTRY, LONG, Method, StubImage

# More than 1,024, the limit of most shells, and more than the collector accepts.
CROWD = 1100
MOST_CONNECTIONS = 128
CALLS = 1009
# The collector scans for processes every 0.4 s.
SEVERAL_LOOKS_SECONDS = 1.5
# A class that no other process of this host runs.
PLACE = Method(f"com.acme.Orders{os.getpid()}", "place", (LONG,), kinds=(ENTRY,))
LATER = Method("com.acme.Later", "come", (LONG,), kinds=(ENTRY,))


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


@pytest.fixture(autouse=True)
def room_for_a_crowd() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(2 * CROWD, before[0]), max(2 * CROWD, before[1])))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def target(bench: Bench) -> Target:
    return bench.target(StubImage([PLACE]), "nt")


@contextlib.contextmanager
def crowd(target: Target, size: int) -> Iterator[list[socket.socket]]:
    """Opens that many connections that send nothing."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(size):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(20)
            connection.connect(f"/run/jprobe/{target.pid}.sock")
            connections.append(connection)
        yield connections


def sockets_of(command: Command) -> int:
    files = Path(f"/proc/{command.process.pid}/fd")
    count = 0
    for file in files.iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(file).startswith("socket:")
    return count


@contextlib.contextmanager
def no_descriptor_left(command: Command) -> Iterator[None]:
    pid = command.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    lowest_free = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_many_silent_connections_do_not_block_other_clients(bench: Bench, target: Target) -> None:
    shell = ["prlimit", "--nofile=256:1024"]
    collector = bench.start("attach", target.pid, before=shell)
    assert collector.status().startswith("armed 1 probe ")
    # The collector uses as many descriptors as it may have.
    assert resource.prlimit(collector.process.pid, resource.RLIMIT_NOFILE) == (1024, 1024)
    observer = bench.observe(target.pid, "-o", "json", "--max-events", 2 * CALLS)
    target.fire(1, CALLS)
    with crowd(target, CROWD):
        target.fire(1, CALLS)
        assert observer.wait() == f"observed {2 * CALLS:,} events; 0 lost"
        assert sockets_of(collector) < MOST_CONNECTIONS + 10
    wait_until(lambda: bench.run("status", target.pid).returncode == 0, "a new client is served")
    assert f"{2 * CALLS:,} hits = {2 * CALLS:,} delivered + 0 lost" in collector.end()


@pytest.fixture
def address(bench: Bench) -> str:
    return f"unix://{bench.directory}/collector.sock"


@contextlib.contextmanager
def waiting_to_be_accepted(address: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(address.removeprefix("unix://"))
        yield


def has_said(collector: Command, *texts: str) -> bool:
    return any(all(text in line for text in texts) for line in list(collector.errors))


def test_a_collector_without_a_descriptor_keeps_running_and_scans_again_once_it_has_one(
    bench: Bench, target: Target, address: str
) -> None:
    collector = bench.attach(target, "--listen", address)
    observer = bench.observe(address, "-o", "json")
    with no_descriptor_left(collector), waiting_to_be_accepted(address):
        target.load(StubImage([LATER], generation=2), "nt")
        target.fire(1, CALLS)
        wait_until(lambda: len(observer.output) == CALLS, "the subscriber has all events")
        wait_until(lambda: has_said(collector, "; will retry"), "a failed scan")
        assert collector.process.poll() is None
    wait_until(lambda: has_said(collector, "armed 1 more"), "another scan")
    target.fire(1, CALLS)
    wait_until(lambda: bench.run("status", address).returncode == 0, "a new client is served")
    hits = 3 * CALLS
    assert f"{hits:,} hits = {hits:,} delivered + 0 lost (kernel ring 0, collector 0)" in collector.end()
    assert observer.wait() == f"observed {hits:,} events; 0 lost"
    assert {event["method"] for event in events_of(observer)} == {"place", "come"}
    assert not has_said(collector, "retired")
    assert not has_said(collector, "skipping")


def test_a_process_that_starts_while_no_descriptor_is_free_is_attached_to_once_one_is(
    bench: Bench, target: Target, address: str
) -> None:
    narrowed = ["--name", "target", "--probe", f"com.acme.Orders{os.getpid()}"]
    collector = bench.start("attach", *narrowed, "--listen", address)
    wait_until(
        lambda: has_said(collector, f"PID {target.pid} ", "armed 1 probe "), "the first is attached to"
    )
    observer = bench.observe(address, "-o", "json")
    rounds = 0
    with no_descriptor_left(collector):
        other = bench.target(StubImage([PLACE]), "nt", name="jprobe-2/1.so")
        until = time.monotonic() + SEVERAL_LOOKS_SECONDS
        while time.monotonic() < until:
            rounds += 1
            target.fire(1, CALLS)
            wait_until(lambda done=rounds: len(observer.output) == done * CALLS, "the events have come")  # type: ignore[misc]
            time.sleep(0.1)
        assert collector.process.poll() is None
    wait_until(lambda: has_said(collector, f"PID {other.pid} ", "armed 1 probe "), "the other is too")
    other.fire(1, CALLS)
    hits = (rounds + 1) * CALLS
    assert f"{hits:,} hits = {hits:,} delivered + 0 lost (kernel ring 0, collector 0)" in collector.end()
    assert observer.wait() == f"observed {hits:,} events; 0 lost"
    assert not has_said(collector, f"leaving out PID {other.pid} ")

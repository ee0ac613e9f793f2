"""Several processes, one of them hostile: the others are attached to, rescanned and counted as usual."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from collector_fixtures import RETURN_FILTERED, STARTED_SECONDS, Bench, Target, numbered_target, socket_of

from conditions import require_bpf, wait_until
from jcollect.probes.scan import scan_traceable
from jcollect.session import tracee
from jcollect.session.probe_group import ProbeGroup, Report, read_all
from jcollect.session.session import Session
from jprobe.v1.control_pb2 import ControlReply
from processes import opened
from stub_gateway import reply_line, stub_gateway, write_endpoint
from stub_image import LONG, Method, StubImage

CLASS = f"com.acme.Domains{os.getpid()}"
NUMBERS = StubImage([Method(CLASS, "place", (LONG,), LONG, "(J)J", (2,))])
REPLY = ControlReply(given=[f"{CLASS}#*"], methods=NUMBERS.manifest().methods)
for _index, _method in enumerate(REPLY.methods):
    _method.id = f"{NUMBERS.manifest().generation}:{_index}"
# Limit on a busy machine. A process that does not answer delays for 30 s, three of them for 90 s.
QUICK_SECONDS = 25.0


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def processes_of(bench: Bench) -> dict[int, dict[str, object]]:
    said = bench.run("status", socket_of(bench), "--json").stdout
    return {each["pid"]: each for each in json.loads(said)["collectors"][0]["processes"]}


def gateway_of(target: Target, number: int, port: int) -> None:
    write_endpoint(target.directory / f"jprobe-{number}", port)


@pytest.mark.parametrize(
    "answer",
    [b"!yi" + b"9" * 4000 + b"\n", reply_line(ControlReply(error="no\x1b[2J"))],
    ids=["a huge number", "a refusal"],
)
def test_a_hostile_reply_affects_only_its_own_process(bench: Bench, answer: bytes) -> None:
    bad, good = numbered_target(bench, NUMBERS, 1), numbered_target(bench, NUMBERS, 2)
    with stub_gateway(lambda _: answer) as hostile, stub_gateway(REPLY) as sound:
        gateway_of(bad, 1, hostile.port)
        gateway_of(good, 2, sound.port)
        alone = bench.run("attach", bad.pid, "--select", f"{CLASS}#*")
        assert alone.returncode == 1
        assert alone.stderr.startswith(f"jcollect: PID {bad.pid} ")
        assert "bug in jcollect" not in alone.stderr
        collector = bench.start("attach", bad.pid, good.pid, "--select", f"{CLASS}#*",
                                "--listen", socket_of(bench))  # fmt: skip
        assert "\x1b" not in collector.line_with(f"leaving out PID {bad.pid} (target): PID {bad.pid} ")
        collector.line_with(f"PID {good.pid} (target): armed 1 probe")
        good.fire(1, 101)
        assert bad.semaphores() == 0
        assert "101 hits = 101 delivered + 0 lost" in collector.end()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yields a port whose listener sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def test_processes_that_never_answer_delay_no_other_one(bench: Bench, silent_port: int) -> None:
    fakes = [numbered_target(bench, NUMBERS, number) for number in range(1, 4)]
    good = numbered_target(bench, NUMBERS, 4)
    for number, fake in enumerate(fakes, 1):
        gateway_of(fake, number, silent_port)
    with stub_gateway(REPLY) as sound:
        gateway_of(good, 4, sound.port)
        begun = time.monotonic()
        collector = bench.start("attach", *(each.pid for each in fakes), good.pid, "--select", f"{CLASS}#*",
                                "--listen", socket_of(bench))  # fmt: skip
        collector.line_with(f"PID {good.pid} (target): armed 1 probe")
        assert time.monotonic() - begun < STARTED_SECONDS
        good.fire(1, 103)
        begun = time.monotonic()
        assert "103 hits = 103 delivered + 0 lost" in collector.end()
        assert time.monotonic() - begun < QUICK_SECONDS


def test_a_signal_during_a_wait_for_processes_ends_at_once_and_leaves_nothing(
    bench: Bench, silent_port: int
) -> None:
    fakes = [numbered_target(bench, NUMBERS, number) for number in range(1, 4)]
    for number, fake in enumerate(fakes, 1):
        gateway_of(fake, number, silent_port)
    collector = bench.start("attach", *(each.pid for each in fakes), "--select", f"{CLASS}#*")
    connections = Path("/proc/net/tcp")
    port = f":{silent_port:04X} "
    wait_until(lambda: connections.read_text().count(port) >= 4, "all of them to be asked")
    begun = time.monotonic()
    collector.process.send_signal(signal.SIGINT)
    collector.process.wait(QUICK_SECONDS)
    assert time.monotonic() - begun < QUICK_SECONDS
    assert collector.process.returncode == 130
    assert [fake.semaphores() for fake in fakes] == [0, 0, 0]


@pytest.mark.parametrize("lie", [(1 << 64) - 1, 10**13])
def test_false_counts_of_a_process_do_not_falsify_those_of_others(bench: Bench, lie: int) -> None:
    liar, honest = numbered_target(bench, NUMBERS, 1), numbered_target(bench, NUMBERS, 2)
    collector = bench.start("attach", liar.pid, honest.pid, "--listen", socket_of(bench))
    for target in (liar, honest):
        collector.line_with(f"PID {target.pid} (target): armed 1 probe")
        target.fire(1, 101)
        target.hold(0, RETURN_FILTERED, 17)
    expected = {"hits": 118, "delivered": 101, "filtered": 17}

    def counts_of(target: Target) -> dict[str, int]:
        counts = processes_of(bench)[target.pid]["counts"]
        assert isinstance(counts, dict)
        return {name: int(number) for name, number in counts.items() if int(number)}

    for target in (liar, honest):
        wait_until(lambda of=target: counts_of(of) == expected, "the hit counts of the process")
    liar.hold(0, RETURN_FILTERED, lie - 17)
    collector.line_with(f"PID {liar.pid} claims to have suppressed or counted more calls than possible")
    honest.hold(0, RETURN_FILTERED, 19)
    wait_until(
        lambda: counts_of(honest) == {"hits": 137, "delivered": 101, "filtered": 36}, "the honest one's"
    )
    assert counts_of(liar) == expected
    assert "255 hits = 202 delivered + 53 filtered + 0 lost" in collector.end()
    assert sum("claims to have suppressed" in line for line in collector.errors) == 1


class Stalling:
    """Blocks readers of one process's memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid = 0
        self.go_on = threading.Event()
        refresh = ProbeGroup.refresh

        def stalled_read(every: Sequence[ProbeGroup]) -> list[Report | None]:
            for each in every:
                self._wait(each)
            return read_all(every)

        def stalled_refresh(attached: ProbeGroup) -> bool:
            self._wait(attached)
            return refresh(attached)

        monkeypatch.setattr(tracee, "read_all", stalled_read)
        monkeypatch.setattr(ProbeGroup, "refresh", stalled_refresh)

    def _wait(self, attached: ProbeGroup) -> None:
        if attached.binary.process.pid == self.pid:
            self.go_on.wait(60)


def test_a_process_that_blocks_readers_of_its_memory_delays_no_answer_and_no_exit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalls, other = numbered_target(bench, NUMBERS, 1), numbered_target(bench, NUMBERS, 2)
    stalling = Stalling(monkeypatch)
    session = Session()
    try:
        session.start()
        tracees = [
            session.join(scan_traceable(opened(each.pid)), lambda probe: True) for each in (stalls, other)
        ]
        for each in tracees:
            each.attach()
        stalls.fire(1, 11)
        other.fire(1, 13)
        stalls.hold(0, RETURN_FILTERED, 3)
        session.status()
        stalling.pid = stalls.pid
        follower = threading.Thread(target=tracees[0].follow, args=(pytest.fail,), daemon=True)
        follower.start()
        for round_ in range(1, 4):
            other.hold(0, RETURN_FILTERED, 5)
            begun = time.monotonic()
            status = session.status()
            assert time.monotonic() - begun < 5.0
            filtered = {each.pid: each.counts.filtered for each in status.processes}
            assert filtered == {stalls.pid: 3, other.pid: 5 * round_}
            assert len(list(session.describe())) == 2
        tracees[1].follow(pytest.fail)
        begun = time.monotonic()
        totals = session.detach()
        assert time.monotonic() - begun < QUICK_SECONDS
        assert stalls.semaphores() + other.semaphores() == 0
        assert (totals.hits, totals.delivered, totals.filtered) == (42, 24, 18)
    finally:
        stalling.go_on.set()
        session.close()
    follower.join(QUICK_SECONDS)
    assert not follower.is_alive()

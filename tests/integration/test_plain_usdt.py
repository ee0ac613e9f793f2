"""Probes without a manifest, gate or state: USDT probes of a C program that does not know of jprobe."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest

import jcollect.session.session as session_module
from conditions import require_bpf, wait_until
from java_target import JCOLLECT, Process, attach, finish, run
from jcollect.errors import JcollectError
from jcollect.hub.items import EncodedEvents
from jcollect.probes.faults import Faults
from jcollect.probes.probe import Probe
from jcollect.probes.scan import Scan
from jcollect.probes.usdt import read_usdt_probes
from jcollect.session.open_sources import bpf_source
from jcollect.session.options import SessionSettings
from jcollect.session.session import Session
from jcollect.sources.base import ALWAYS, LossStage
from jcollect.sources.bpf.links import PERF_EVENT, UPROBE_MULTI
from jcollect.sources.bpf.source import BpfSource
from jprobe.v1 import probe_pb2
from list_source import ListSource, batch_of
from processes import opened
from ring_image import string

SOURCE = Path(__file__).with_name("plain_usdt.c")
CAPACITY = 16


class Program:
    """The running program. `fire` fires each probe that many times and returns the semaphore."""

    def __init__(self, binary: Path) -> None:
        self.path = str(binary)
        self._process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.process = opened(self.pid)
        assert self._answer() == "ready"

    def fire(self, count: int) -> int:
        stream: IO[str] | None = self._process.stdin
        assert stream is not None
        stream.write(f"{count}\n")
        stream.flush()
        return int(self._answer())

    def every_probe(self) -> dict[str, Probe]:
        faults = Faults()
        found = read_usdt_probes(self.process, self.path, faults)
        assert not faults.count
        return {probe.name: probe for probe in found}

    def probes(self) -> list[Probe]:
        found = self.every_probe()
        return [found["placed"], found["closed"]]

    def end(self) -> None:
        self._process.communicate(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module", params=["-pie", "-no-pie"])
def binary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("usdt") / "orders"
    code = "-fPIE" if request.param == "-pie" else "-fno-pie"
    subprocess.run(["gcc", "-O1", code, request.param, "-Wall", "-Werror", "-o", file, SOURCE], check=True)
    return file


@pytest.fixture
def program(binary: Path) -> Iterator[Program]:
    require_bpf()
    running = Program(binary)
    try:
        yield running
    finally:
        running.end()


def test_the_notes_of_a_program_become_probes_without_slot(program: Program) -> None:
    placed, closed = program.probes()
    assert [(each.provider, each.name, each.kind) for each in (placed, closed)] == [
        ("orders", "placed", probe_pb2.PROBE_KIND_MARK),
        ("orders", "closed", probe_pb2.PROBE_KIND_MARK),
    ]
    assert [(value.name, value.java_type) for value in placed.values] == [
        ("arg1", "uint64"),
        ("arg2", "int64"),
    ]
    assert [(value.name, value.java_type) for value in closed.values] == [
        ("arg1", "int32"),
        ("arg2", "uint64"),
    ]
    assert (placed.slot, closed.slot, placed.is_agents) == (None, None, False)
    assert placed.site.semaphore > 0
    assert closed.site.semaphore == 0


def test_a_file_without_notes_or_that_is_not_mapped(program: Program) -> None:
    libc = next(line.split()[-1] for line in Path(f"/proc/{program.pid}/maps").read_text().splitlines()
                if "/libc.so" in line)  # fmt: skip
    assert all(probe.provider == "libc" for probe in read_usdt_probes(program.process, libc))
    with pytest.raises(OSError, match="no code is mapped from it"):
        read_usdt_probes(program.process, "/nowhere/libfoo.so")


def test_a_note_that_does_not_point_to_a_nop_is_a_fault(binary: Path, tmp_path: Path) -> None:
    other = tmp_path / "bent"
    content = binary.read_bytes()
    running = Program(binary)
    placed, _ = running.probes()
    running.end()
    at = placed.site.location
    assert content[at : at + 1] == b"\x90"
    other.write_bytes(content[:at] + b"\xfc" + content[at + 1 :])
    other.chmod(0o755)
    bent = Program(other)
    try:
        faults = Faults()
        names = {probe.name for probe in read_usdt_probes(bent.process, bent.path, faults)}
        assert names == {"closed", "every", "vmops__begin"}
        assert list(faults.first) == [("orders:placed", "there is no nop at its location")]
    finally:
        bent.end()


@pytest.mark.parametrize("link_type", [UPROBE_MULTI, PERF_EVENT])
def test_a_bpf_source_traces_them_without_a_session(program: Program, link_type: str) -> None:
    probes = program.probes()
    source = BpfSource(CAPACITY, 0, ring_pages=16, link_type=link_type)
    try:
        source.describe([3, 5], probes)
        armed = source.arm([3, 5], [probe.site for probe in probes])
        assert program.fire(7) == 1
        armed.disarm()
        assert program.fire(11) == 0
        drained = source.drain(ALWAYS)
        columns = drained.batch.columns
        assert columns.probe.tolist() == [3, 5] * 7
        assert columns.values.tolist() == [word % 2**64 for i in range(7) for word in (i, -i, i, i)]
        assert columns.thread.tolist() == [0] * 14, "a program without Java has no Java threads"
        assert set(columns.tid.tolist()) == {program.pid}
        assert source.hits()[[3, 5]].tolist() == [7, 7]
        assert sum(source.lost(stage).sum() for stage in source.stages) == 0
    finally:
        source.close()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the program's notes are for x86_64")
@pytest.mark.parametrize("link_type", [UPROBE_MULTI, PERF_EVENT])
def test_every_kind_of_argument_is_read(program: Program, link_type: str) -> None:
    every, operation = (program.every_probe()[name] for name in ("every", "vmops__begin"))
    assert [value.name for value in every.values] == [f"arg{number}" for number in range(1, 8)], (
        "what is in a vector register, or known only after linking, is left out"
    )
    assert [(value.name, value.java_type) for value in operation.values] == [
        ("operation", "string"),
        ("mode", "int32"),
    ]
    source = BpfSource(CAPACITY, 0, ring_pages=16, link_type=link_type)
    try:
        source.describe([3, 5], [every, operation])
        armed = source.arm([3, 5], [every.site, operation.site])
        program.fire(3)
        armed.disarm()
        batch = source.drain(ALWAYS).batch
        columns = batch.columns
        assert columns.probe.tolist() == [3, 5] * 3
        array = [-2, 0, 0x55667788]
        operations = [(0, 7), (string(5), 7), (string(255, cut=True), 7)]
        assert columns.values.tolist() == [
            word % 2**64
            for i in range(3)
            for word in (0xFF, -128, -32767, -5, 0x1122334455667788, array[i], 0, *operations[i])
        ]
        assert columns.text == "GCż!".encode() + "GCż!".encode() + b"x" * 250
        assert sum(source.lost(stage).sum() for stage in source.stages) == 0
    finally:
        source.close()


def test_marks_are_listed_and_attached_to_from_the_command_line(program: Program) -> None:
    listed = run(JCOLLECT, "probes", program.pid, "--usdt", "--probe", "orders:*")
    assert listed.stderr == "3 USDT probes\n"
    assert re.search(r"^orders:closed +armed +0 .*int32 arg1, uint64 arg2$", listed.stdout, re.MULTILINE)
    with attach(program.pid, "--usdt", "orders:[pc]*", "-o", "json") as collector:
        assert program.fire(5) == 1
        assert "10 hits = 10 delivered" in finish(collector)
        events = [json.loads(line) for line in collector.out if line.startswith("{")]
    assert [event["args"] for event in events if event["probe"] == "orders:placed"] == [
        [i, -i] for i in range(5)
    ]
    refused = run(JCOLLECT, "attach", program.pid, "--usdt", "nobody:*")
    assert refused.returncode == 1
    assert "no file that it has mapped has a USDT probe like --usdt 'nobody:*'" in refused.stderr
    refused = run(JCOLLECT, "attach", program.pid, "--jvm", "gc")
    assert refused.returncode == 1
    assert f"cannot trace the JVM of PID {program.pid}: it is no JVM" in refused.stderr


def test_the_functions_of_an_interpreter_are_traced_by_name(tmp_path: Path) -> None:
    """Debian's python3 has probes of its own."""
    require_bpf()
    script = tmp_path / "called.py"
    script.write_text("def placed(n):\n    return n\nwhile input():\n    for n in range(7): placed(n)\n")
    with Process(["/usr/bin/python3", "-u", str(script)]) as target:
        wait_until(lambda: "libc" in Path(f"/proc/{target.pid}/maps").read_text(), "python to start")
        with attach(target.pid, "--usdt", "python:function__return", "-o", "json") as collector:
            target.send("go")
            wait_until(lambda: sum('"placed"' in line for line in collector.out) == 7, "its calls")
            finish(collector)
        events = [json.loads(line)["args"] for line in collector.out if '"placed"' in line]
    assert events == [[str(script), "placed", 2]] * 7


def test_a_session_traces_describes_and_counts_them(program: Program) -> None:
    session = Session()
    try:
        subscription = session.hub.subscribe(())
        session.start()
        tracee = session.join(Scan(program.process), lambda probe: True, "orders", others=program.probes())
        assert len(tracee.attach().probes) == 2
        assert program.fire(101) == 1
        tracee.follow(pytest.fail)
        assert program.fire(103) == 1, "it is still mapped"
        found = {each.name: (each.state, each.semaphore_count, each.file) for each in session.describe()}
        armed = probe_pb2.PROBE_STATE_ARMED
        assert found == {"placed": (armed, 1, program.path), "closed": (armed, 0, program.path)}
        wait_until(lambda: not session.accounts.totals().missing, "all events")
        (status,) = session.status().processes
        assert (status.pid, status.probes, status.armed) == (program.pid, 2, 2)
        totals = session.detach()
        assert program.fire(1) == 0
    finally:
        session.close()
    assert (totals.hits, totals.delivered, totals.lost) == (408, 408, 0)
    batches = [item.columns for item in subscription.items() if isinstance(item, EncodedEvents)]
    assert sum(map(len, batches)) == 408


def test_they_stay_described_after_the_program_has_exited(program: Program) -> None:
    session = Session()
    try:
        session.start()
        tracee = session.join(Scan(program.process), lambda probe: True, others=program.probes())
        tracee.attach()
        program.fire(13)
        program.end()
        session.leave(tracee)
        states = {each.name: each.state for each in session.describe()}
        totals = session.detach()
    finally:
        session.close()
    retired = probe_pb2.PROBE_STATE_RETIRED
    assert states == {"placed": retired, "closed": retired}
    assert (totals.hits, totals.delivered) == (26, 26)
    assert not os.path.exists(f"/proc/{program.pid}")


def session_of_two_sources() -> tuple[Session, ListSource]:
    """Returns a session with uprobes and a list as its sources, and the list."""
    lists: list[ListSource] = []

    def list_source(capacity: int, utc_offset_ns: int) -> ListSource:
        lists.append(ListSource(capacity, utc_offset_ns))
        return lists[0]

    session = Session(open_sources=[bpf_source(SessionSettings()), list_source])
    return session, lists[0]


def test_events_of_the_kernel_and_of_a_list_are_published_in_one_order(program: Program) -> None:
    session, events = session_of_two_sources()
    try:
        subscription = session.hub.subscribe(())
        tracee = session.join(Scan(program.process), lambda probe: True, others=program.probes())
        tracee.attach()
        # Nothing is read yet, so the order of events cannot depend on when each source is read.
        for _ in range(11):
            events.put(batch_of([(time.monotonic_ns(), 0)]))
            program.fire(1)
        events.lose(LossStage.KERNEL_RING, 1, 13)
        session.start()
        wait_until(lambda: not session.accounts.totals().missing, "all events")
        totals = session.detach()
        kernel, other = session.accounts.by_source()
    finally:
        session.close()
    assert events.is_closed
    batches = [item.columns for item in subscription.items() if isinstance(item, EncodedEvents)]
    columns = {
        name: np.concatenate([getattr(batch, name) for batch in batches]).tolist()
        for name in ("time_unix_nanos", "seq", "tid")
    }
    assert columns["time_unix_nanos"] == sorted(columns["time_unix_nanos"])
    assert columns["seq"] == list(range(33))
    assert columns["tid"] == [1, program.pid, program.pid] * 11
    assert (totals.hits, totals.delivered, totals.lost_in_ring) == (46, 33, 13)
    assert (kernel.hits, kernel.losses[LossStage.KERNEL_RING]) == (22, 0)
    assert (other.hits, other.losses[LossStage.KERNEL_RING]) == (24, 13)


def test_a_process_is_traced_through_the_source_that_it_joined_with(program: Program) -> None:
    session, events = session_of_two_sources()
    try:
        session.start()
        tracee = session.join(
            Scan(program.process), lambda probe: True, others=program.probes(), source=events
        )
        tracee.attach()
        armed = {events.described[number].name for number in events.armed}
        program.fire(5)  # No uprobe is there.
        events.put(batch_of([(time.monotonic_ns(), 0), (time.monotonic_ns(), 1)]))
        wait_until(lambda: session.accounts.totals().delivered == 2, "both events")
        totals = session.detach()
        kernel, other = session.accounts.by_source()
    finally:
        session.close()
    assert armed == {"placed", "closed"}
    assert not events.armed
    assert (totals.hits, totals.delivered) == (2, 2)
    assert (kernel.hits, other.hits) == (0, 2)


@pytest.mark.parametrize("last_report_seconds", [0.0, 2.0])
def test_events_that_fire_while_the_probes_are_being_disarmed_are_counted(
    program: Program, last_report_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_LAST_REPORT_SECONDS", last_report_seconds)
    session, events = session_of_two_sources()

    def fire_late() -> None:
        time.sleep(0.3)
        events.put(batch_of([(time.monotonic_ns(), 0)] * 7))

    events.disarming = fire_late
    try:
        session.start()
        session.join(
            Scan(program.process), lambda probe: True, others=program.probes(), source=events
        ).attach()
        totals = session.detach()
        session.failures.check()
    finally:
        session.close()
    assert (totals.hits, totals.delivered, totals.missing) == (7, 7, 0)


def test_a_process_that_cannot_be_detached_from_is_named(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_DISARM_SECONDS", 0.1)
    session, events = session_of_two_sources()
    may_disarm = threading.Event()
    events.disarming = may_disarm.wait
    try:
        session.start()
        tracee = session.join(
            Scan(program.process), lambda probe: True, others=program.probes(), source=events
        )
        tracee.attach()
        session.detach()
        assert not tracee.disarm(), "closing the session does not wait either"
        with pytest.raises(JcollectError, match=f"^cannot detach from PID {program.pid} within 0.1 s: "):
            session.failures.check()
    finally:
        may_disarm.set()
        wait_until(lambda: not events.armed, "the probes to be disarmed")
        session.close()

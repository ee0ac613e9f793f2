"""SetProbes and ListProcesses, with real agents: what a client can do without a shell on the machine."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    probes_of,
    run,
    wait_for_probes,
)
from jcollect.session.selections import MOST_SELECTIONS
from jprobe.v1 import collector_pb2, collector_pb2_grpc, probe_pb2
from prime_calls import prime_calls, run_calls

PLACE, TOUCH, LABEL, DEPTH = (f"PrimeCalls$Orders#{name}" for name in ("place", "touch", "label", "depth"))
SECONDS = 30

Stub = collector_pb2_grpc.CollectorServiceStub


@contextlib.contextmanager
def client_of(collector_of: int) -> Iterator[Stub]:
    with grpc.insecure_channel(f"unix:///run/jprobe/{collector_of}.sock") as channel:
        yield Stub(channel)


def select(
    stub: Stub, pid: int, *selectors: str, keep: bool = False, **options: int
) -> collector_pb2.SetProbesResponse:
    command = collector_pb2.SelectCommand(selectors=selectors, keep=keep)
    request = collector_pb2.SetProbesRequest(pid=pid, select=command, **options)
    response: collector_pb2.SetProbesResponse = stub.SetProbes(request, timeout=SECONDS)
    return response


def unselect(stub: Stub, pid: int, *selectors: str) -> collector_pb2.SetProbesResponse:
    command = collector_pb2.UnselectCommand(selectors=selectors, all=not selectors)
    response: collector_pb2.SetProbesResponse = stub.SetProbes(
        collector_pb2.SetProbesRequest(pid=pid, unselect=command), timeout=SECONDS
    )
    return response


def set_gates(stub: Stub, pid: int, glob: str, settings: str) -> collector_pb2.SetProbesResponse:
    command = collector_pb2.SetCommand(glob=glob, settings=settings)
    response: collector_pb2.SetProbesResponse = stub.SetProbes(
        collector_pb2.SetProbesRequest(pid=pid, set=command), timeout=SECONDS
    )
    return response


def selected_in(pid: int) -> set[str]:
    """Returns the methods that have probes which are not retired."""
    return {each["method"] for each in probes_of(pid) if each["state"] != "retired"}


def armed(stub: Stub, pid: int) -> set[str]:
    listed = stub.ListProbes(collector_pb2.ListProbesRequest(pids=[pid]), timeout=SECONDS).probes
    return {probe.method for probe in listed if probe.state == probe_pb2.PROBE_STATE_ARMED}


class Events:
    """Counts the events of a stream by method, in a thread."""

    def __init__(self, stub: Stub) -> None:
        self.counts: Counter[str] = Counter()
        self.lost = 0
        self._methods: dict[int, str] = {}
        self._stream = stub.Subscribe(collector_pb2.SubscribeRequest(), timeout=120)
        self._take(next(self._stream))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(grpc.RpcError):
            for response in self._stream:
                self._take(response)

    def _take(self, response: collector_pb2.SubscribeResponse) -> None:
        for probe in response.schema.probes:
            self._methods[probe.id] = f"{probe.method}/{probe.kind}"
        self.counts.update(self._methods[each] for each in response.batch.probe)
        if response.HasField("loss"):
            self.lost = max(self.lost, response.loss.events)

    def end(self) -> None:
        self._stream.cancel()
        self._thread.join(SECONDS)


@pytest.fixture(scope="module")
def target(targets: Path) -> Iterator[Process]:
    """A program whose agent traces one method. Each test leaves it so."""
    require_bpf()
    with prime_calls(newest_jdk, targets, probes=TOUCH) as started:
        wait_for_probes(started.pid, 3)
        yield started


@pytest.fixture(scope="module")
def stub(target: Process) -> Iterator[Stub]:
    """A client of a collector that is attached to the program."""
    with attach(target.pid) as collector, client_of(target.pid) as stub:
        yield stub
        finish(collector)
    commands = [line for line in collector.err if line.startswith("audit: command SetProbes")]
    assert any("label" in line and line.endswith(": ok") for line in commands), collector.err
    assert all("the socket's owner (unix:)" in line for line in commands), commands


def test_selected_methods_are_traced(target: Process, stub: Stub) -> None:
    response = select(stub, target.pid, LABEL)
    assert response.methods == response.reply.added == 1
    assert [each.method for each in response.reply.methods] == ["label"]
    assert list(response.warnings) == []
    wait_until(lambda: armed(stub, target.pid) == {"touch", "label"}, "the probes to be armed")
    events = Events(stub)
    did = run_calls(target)
    returned = f"label/{probe_pb2.PROBE_KIND_RETURN}"
    wait_until(lambda: events.counts[returned] == did["label.entry"], "all events")
    events.end()
    unselect(stub, target.pid, LABEL)


def test_leased_selectors_can_be_unselected_and_selected_again(target: Process, stub: Stub) -> None:
    for _ in range(2):
        select(stub, target.pid, LABEL)
        select(stub, target.pid, PLACE)
        wait_until(lambda: armed(stub, target.pid) == {"touch", "label", "place"}, "the probes to be armed")
        response = unselect(stub, target.pid, LABEL, PLACE)
        assert response.methods == 3
        assert [each.selector for each in response.reply.selections] == [TOUCH]
        wait_until(lambda: armed(stub, target.pid) == {"touch"}, "the probes to be retired")


def test_what_is_unselected_makes_room_for_further_selections(target: Process, stub: Stub) -> None:
    select(stub, target.pid, LABEL)
    for keep in (False, True):
        for _ in range(MOST_SELECTIONS // 2 + 2):
            select(stub, target.pid, DEPTH, keep=keep)
            unselect(stub, target.pid, DEPTH)
    select(stub, target.pid, PLACE)
    wait_until(lambda: armed(stub, target.pid) == {"touch", "label", "place"}, "the probes to be armed")
    unselect(stub, target.pid, LABEL, PLACE)
    assert selected_in(target.pid) == {"touch"}


def test_settings_of_gates_are_changed(target: Process, stub: Stub) -> None:
    response = set_gates(stub, target.pid, "*#touch", "every 10")
    assert [gate.every for gate in response.reply.gates] == [10]
    assert "rejects set" in refused(lambda: set_gates(stub, target.pid, "*#touch", "sometimes"))
    assert "matches none of the" in refused(lambda: set_gates(stub, target.pid, "x", "always"))
    set_gates(stub, target.pid, "*#touch", "as selected")


def test_mistakes_are_explained(target: Process, stub: Stub) -> None:
    response = select(stub, target.pid, "com.acme.Missing#*")
    assert "matches no loaded class" in response.warnings[0]
    unselect(stub, target.pid, "com.acme.Missing#*")
    assert f"PID {target.pid} rejects select" in refused(lambda: select(stub, target.pid, "#"))
    assert "does not trace PID 1;" in refused(lambda: select(stub, 1, LABEL), grpc.StatusCode.NOT_FOUND)


def test_processes_are_listed_as_by_ps(target: Process, stub: Stub) -> None:
    response = stub.ListProcesses(collector_pb2.ListProcessesRequest(), timeout=SECONDS)
    (found,) = [each for each in response.processes if each.pid == target.pid]
    rows = json.loads(run(JCOLLECT, "ps", "--json").stdout)
    (row,) = [each for each in rows if each["pid"] == target.pid]
    for name in ("user", "jdk", "name", "agent"):
        assert getattr(found, name) == row[name], name
    assert found.is_jvm
    assert found.is_traced
    assert found.libraries == len(row["libraries"])
    states = {probe_pb2.ProbeState.Name(each.state): each.probes for each in found.probes}
    assert states["PROBE_STATE_ARMED"] == 3
    assert not response.is_truncated


def test_a_selection_lasts_as_long_as_was_asked_for(targets: Path) -> None:
    """Leased ones end with the collector; kept ones stay until they are unselected."""
    with prime_calls(newest_jdk, targets, probes=TOUCH) as program:
        wait_for_probes(program.pid, 3)
        with attach(program.pid) as collector, client_of(program.pid) as stub:
            assert select(stub, program.pid, LABEL).methods == 1
            assert select(stub, program.pid, DEPTH, keep=True).methods == 1
            assert selected_in(program.pid) == {"touch", "label", "depth"}
            finish(collector)
        wait_until(lambda: selected_in(program.pid) == {"touch", "depth"}, "the lease to end")
        # A collector with a selection of its own also traces what its clients select, and methods that had
        # probes before, which it had left out.
        with attach(program.pid, "--select", LABEL) as collector, client_of(program.pid) as stub:
            assert armed(stub, program.pid) == {"label"}
            select(stub, program.pid, TOUCH, PLACE)
            wait_until(lambda: armed(stub, program.pid) == {"touch", "label", "place"}, "the probes")
            events = Events(stub)
            did = run_calls(program)
            for method in ("label", "touch"):
                returned = f"{method}/{probe_pb2.PROBE_KIND_RETURN}"
                expected = did[f"{method}.entry"]
                wait_until(lambda name=returned, n=expected: events.counts[name] == n, f"events of {method}")
            events.end()
            unselect(stub, program.pid)
            finish(collector)
        wait_until(lambda: selected_in(program.pid) == set(), "all to be unselected")


def refused_code(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: grpc.StatusCode = caught.value.code()
    return code


def refused(call: Callable[[], object], code: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code, caught.value.details()
    return str(caught.value.details())


@pytest.mark.takes_long
def test_a_stopped_program_delays_only_its_own_command(targets: Path) -> None:
    with (
        prime_calls(newest_jdk, targets, probes=TOUCH) as stuck,
        prime_calls(newest_jdk, targets, probes=TOUCH) as other,
    ):
        for each in (stuck, other):
            wait_for_probes(each.pid, 3)
        with Process(
            [JCOLLECT, "attach", str(stuck.pid), str(other.pid), "--max-overhead", "0", "--listen",
             f"unix:///run/jprobe/both-{stuck.pid}.sock"]
        ) as collector:  # fmt: skip
            collector.wait_for_line(r"(PID \d+.*: )?(serving|armed|attached)|.*serving ")
            with grpc.insecure_channel(f"unix:///run/jprobe/both-{stuck.pid}.sock") as channel:
                stub = Stub(channel)
                wait_until(lambda: armed(stub, other.pid) == {"touch"}, "both to be armed")
                stuck.signal(signal.SIGSTOP)
                begun = time.monotonic()
                first = stub.SetProbes.future(
                    collector_pb2.SetProbesRequest(
                        pid=stuck.pid,
                        select=collector_pb2.SelectCommand(selectors=[LABEL]),
                        timeout_millis=5_000,
                    )
                )
                # One command at a time for each process.
                wait_until(
                    lambda: (
                        refused_code(lambda: select(stub, stuck.pid, LABEL))
                        == grpc.StatusCode.RESOURCE_EXHAUSTED
                    ),
                    "the first command to begin",
                )
                assert select(stub, other.pid, LABEL).methods == 1
                assert time.monotonic() - begun < 4
                assert "is stopped" in first.exception(SECONDS).details()
                stuck.signal(signal.SIGCONT)
                wait_until(lambda: select(stub, stuck.pid, LABEL).methods == 1, "it to be commanded again")
            finish(collector)


@pytest.mark.takes_long
def test_the_agent_is_loaded_into_a_program_that_waits_for_it(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls") as program:
        program.wait_for_line("ready")
        with Process([JCOLLECT, "attach", str(program.pid), "--wait", "--max-overhead", "0"]) as collector:
            collector.wait_for_line("waiting ")
            with client_of(program.pid) as stub:
                assert select(stub, program.pid, LABEL).methods == 1
                wait_until(lambda: armed(stub, program.pid) == {"label"}, "the probes to be armed")
                finish(collector)
        wait_until(lambda: not probes_of(program.pid), "the agent to shut down")

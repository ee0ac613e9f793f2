"""Captured stacks are those of the JVM, in both lanes, on every kind of thread, and whatever happens."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import jcollect
from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    find_jdks,
    finish,
    java,
    newest_jdk,
    on_every_jdk,
    run,
)
from jcollect import Missing
from jcollect.rpc.address import default_address
from jcollect.rpc.client import Client
from jcollect.rpc.public.event import Event

WORK = "Stacks#work(stack)"
MOST_SECONDS = 30.0


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def program(
    targets: Path, jdk: Jdk, probes: str = WORK, options: str = "", jvm: tuple[str, ...] = ()
) -> Process:
    target = java(jdk, "-cp", targets, "Stacks", probes=probes, options=options, jvm=jvm)
    target.wait_for_line("ready")
    return target


@contextlib.contextmanager
def streamed(target: Process, *arguments: str) -> Iterator[Iterator[Event]]:
    """Yields the events of the program."""
    with attach(target.pid, *arguments) as collector:
        with jcollect.Client(str(target.pid)) as client, client.events(duration=MOST_SECONDS) as events:
            yield iter(events)
        finish(collector)


def asked(target: Process, command: str) -> str:
    target.send(command)
    return target.wait_for_line(f"did {command.split()[0]}")


def expected(target: Process) -> list[str]:
    """Returns the frames of the last call, as the JVM has them."""
    line = next(line for line in reversed(target.out) if line.startswith("expected"))
    return line.split()[1:]


def without_own_line(frames: tuple[str, ...] | list[str]) -> list[str]:
    """Leaves out the line of the traced method: the probe fires elsewhere in it than `new Throwable`."""
    return [re.sub(r"\(.*", "", frames[0]), *frames[1:]]


@on_every_jdk
@pytest.mark.parametrize("lane", ["kernel", "direct"])
def test_the_stack_is_that_of_the_jvm(targets: Path, jdk: Jdk, lane: str) -> None:
    with program(targets, jdk) as target, streamed(target, "--lane", lane) as events:
        for command in ("left 1", "right 1", "left 40", "right 100", "left 1"):
            asked(target, command)
            entry, end = next(events), next(events)
            assert (entry.probe.kind, end.probe.kind) == ("entry", "return")
            frames = end.values["stack"]
            assert isinstance(frames, tuple)
            assert without_own_line(frames)[:-1] == without_own_line(expected(target))[:-1]
            # main runs since before the class was woven: the JVM has lost its lines.
            assert frames[-1].startswith("Stacks.main(")
            assert entry.values["stack"] == frames


def test_only_the_frames_that_are_asked_for_count(targets: Path) -> None:
    probes = "Stacks#work(arg0, few=stack(3), stack) when duration >= 0ns"
    with program(targets, newest_jdk, probes) as target, streamed(target) as events:
        asked(target, "right 7")
        values = next(events).values
    assert values["arg0"] == 0
    few, whole = values["few"], values["stack"]
    assert isinstance(few, tuple)
    assert isinstance(whole, tuple)
    assert few == whole[:3]
    assert len(whole) == 1 + 8 + 3


@pytest.mark.parametrize(
    "jvm",
    [
        "-XX:-StackTraceInThrowable",
        pytest.param("-XX:MaxJavaStackTraceDepth=5", marks=pytest.mark.takes_long),
        pytest.param("-XX:+ShowHiddenFrames", marks=pytest.mark.takes_long),
    ],
)
def test_options_of_the_jvm_about_stack_traces_do_not_matter(targets: Path, jvm: str) -> None:
    flags = ("-XX:+UnlockDiagnosticVMOptions", jvm)
    with program(targets, newest_jdk, jvm=flags) as target, streamed(target) as events:
        asked(target, "left 12")
        frames = next(events).values["stack"]
    assert isinstance(frames, tuple)
    names = [frame.partition("(")[0] for frame in frames]
    assert names[:14] == ["Stacks.work", *["Stacks.deep"] * 13]
    assert names[14:] == ["Stacks.left", "Stacks.run", "Stacks.main"]


def test_a_virtual_thread_has_its_own_frames_alone(targets: Path) -> None:
    jdk = max(find_jdks(), key=lambda jdk: jdk.version)
    if jdk.version < 21:
        pytest.skip("no JDK with virtual threads")
    probes = "Stacks#work(stack, virtual=thread.virtual)"
    with program(targets, jdk, probes) as target, streamed(target) as events:
        asked(target, "virtual")
        values = next(events).values
    frames = values["stack"]
    assert isinstance(frames, tuple)
    assert values["virtual"] is True
    names = [frame.partition("(")[0] for frame in frames]
    assert names[:6] == ["Stacks.work", *["Stacks.deep"] * 3, "Stacks.right", "Stacks$InThread.run"]
    assert names[-1] == "java.lang.VirtualThread.run"


@pytest.mark.parametrize(
    ("jvm", "probes"),
    [
        ("-Xmixed", "Stacks#work(stack(8))"),
        *(pytest.param(each, WORK, marks=pytest.mark.takes_long) for each in ("-Xcomp", "-Xmixed")),
        pytest.param("-Xint", "Stacks#work(stack(8))", marks=pytest.mark.takes_long),
    ],
)
def test_a_stack_that_overflows_harms_no_program(targets: Path, jvm: str, probes: str) -> None:
    """Near the end of the stack, a value may lack its stack; the program sees its own error alone."""
    with program(targets, newest_jdk, probes, jvm=(jvm, "-Xss512k")) as target:
        with attach(target.pid) as collector:
            for _ in range(3):
                asked(target, "overflow")
            assert target.out.count("overflowed") == 3
            asked(target, "left 3")
            report = finish(collector)
        assert re.search(r" [1-9][\d,]* delivered", report)
    assert not [line for line in target.err if "Exception" in line or "Error" in line]


@pytest.mark.takes_long
def test_code_that_describes_a_stack_may_be_traced(targets: Path) -> None:
    """While a stack is described, no call of the thread fires: it would describe its own stack in turn."""
    traced = "java.lang.StackTraceElement#*(stack);java.lang.StringBuilder#append(stack)"
    probes = f"{WORK};{traced}"
    with program(targets, newest_jdk, probes) as target, attach(target.pid, "-o", "json") as collector:
        asked(target, "left 3")
        wait_until(lambda: any('"method":"work"' in line for line in collector.out), "an event")
        asked(target, "right 30")
        finish(collector)
    mine = [line for line in collector.out if '"method":"work"' in line]
    assert mine
    assert all("Stacks.deep" in line for line in mine)
    assert not [line for line in collector.out if "java.jprobe" in line]


@pytest.mark.takes_long
def test_a_full_table_leaves_values_out_and_counts_them(targets: Path) -> None:
    with (
        program(targets, newest_jdk, options="stack-memory=64k") as target,
        streamed(target, "--probe", "*__return") as events,
    ):
        asked(target, "ways 11")
        found = [next(events).values["stack"] for _ in range(1 << 11)]
        with Client(default_address(target.pid)) as client:
            (process,) = client.status().processes
        shown = run(JCOLLECT, "status", target.pid).stdout
    kept = {frames for frames in found if isinstance(frames, tuple)}
    missing = [frames for frames in found if frames is Missing.ABSENT]
    assert len(kept) + len(missing) == len(found)
    assert 100 < len(kept) < 1 << 11
    assert process.stacks == len(kept)
    assert process.lost_stacks == len(missing)
    assert f"{len(missing):,} values without one" in shown


def test_a_program_that_has_exited_leaves_its_stacks(targets: Path) -> None:
    for lane in ("kernel", "direct"):
        options = ("--lane", lane, "-o", "compact")
        with program(targets, newest_jdk) as target, attach(target.pid, *options) as collector:
            target.send("once")
            assert target.wait() == 0
            assert collector.wait() == 0, collector.err
        assert re.search(r"stack=Stacks.work:14 < Stacks.deep:21 .*< Stacks.left:25 <", collector.out[0])


@pytest.mark.takes_long
def test_an_agent_that_is_started_again_numbers_its_stacks_again(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "Stacks", options="control=on") as target:
        target.wait_for_line("ready")
        with attach(target.pid, "--select", WORK, "--probe", "*__return", "-o", "compact") as collector:
            asked(target, "left 1")
            asked(target, "left 1")
            wait_until(lambda: len(collector.out) == 2, "two events")
            finish(collector)
        run(JCOLLECT, "reset", str(target.pid))
        with attach(target.pid, "--select", WORK, "--probe", "*__return", "-o", "compact") as collector:
            asked(target, "right 2")
            wait_until(lambda: len(collector.out) == 1, "an event")
            assert "Stacks.right" in collector.out[0]
            finish(collector)


def test_a_flame_graph_is_made_of_the_calls(targets: Path, tmp_path: Path) -> None:
    out = tmp_path / "calls.folded"
    with java(newest_jdk, "-cp", targets, "Stacks", options="control=on") as target:
        target.wait_for_line("ready")
        command = ("flame", target.pid, "--select", "Stacks#work when duration >= 0ns", "--weight", "count")
        with Process([JCOLLECT, *map(str, command), "-o", str(out)]) as flame:
            flame.wait_for_line("armed 2 probes")
            for command_ in ("left 1", "right 0", "right 0"):
                asked(target, command_)
            finish(flame)
    assert sorted(out.read_text().splitlines()) == [
        "Stacks.main;Stacks.run;Stacks.left;Stacks.deep;Stacks.deep;Stacks.work 1",
        "Stacks.main;Stacks.run;Stacks.right;Stacks.deep;Stacks.work 2",
    ]
    assert "wrote 3 calls with 2 stacks" in "".join(flame.err)

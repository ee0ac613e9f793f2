"""Output and errors of the verbs that send commands, with a simulated agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from collector_fixtures import Bench, Target

from jcollect.cli.replies import gate_words
from jcollect.probes.probe import RETURN, THROW
from jprobe.v1.control_pb2 import ControlReply, GateSettings, Selection
from jprobe.v1.manifest_pb2 import TracedMethod, Untraceable
from stub_gateway import Answer, StubGateway, stub_gateway, write_endpoint
from stub_image import BOOLEAN, LONG, STRING, Method, StubImage

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
TOUCH = Method("com.acme.Orders", "touch")
PATTERNS = ("nst", "d1t", "det", "t", "d0t", "det")
TRACED = TracedMethod(
    class_name="com.acme.Orders", method="place", method_descriptor="(JLjava/lang/String;)Z", id="1:0"
)
TOUCHED = TracedMethod(class_name="com.acme.Orders", method="touch", method_descriptor="()V")
SELECTIONS = [
    Selection(selector="com.acme.**#*", methods=2),
    Selection(selector="b.C#d", leased=True),
]


@pytest.fixture
def target(bench: Bench) -> Target:
    return bench.target(StubImage([PLACE, TOUCH]), *PATTERNS)


@contextmanager
def commanded(bench: Bench, answer: Answer | ControlReply) -> Iterator[StubGateway]:
    """Yields a simulated gateway for the target, whose stub directory is jprobe-1."""
    with stub_gateway(answer) as gateway:
        write_endpoint(bench.directory / "jprobe-1", gateway.port)
        yield gateway


def done(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result
    return result.stdout.splitlines()


def refused(result: subprocess.CompletedProcess[str], code: int = 1) -> str:
    assert (result.returncode, result.stdout) == (code, ""), result
    (line,) = result.stderr.splitlines()
    return line.removeprefix("jcollect: ")


def test_select_reports_what_matched_and_what_cannot_be_traced(bench: Bench, target: Target) -> None:
    reply = ControlReply(
        took_nanos=84_400_000,
        methods=[TRACED, TRACED],
        added=1,
        given=["com.acme.**#*", "b.C#d", "e.F#g", "!e.*#h"],
        selections=[
            *SELECTIONS,
            Selection(selector="e.F#g"),
            Selection(selector="!e.*#h"),
            Selection(selector="other.X#y", methods=9),
        ],
        failed=[
            Untraceable(
                class_name=f"com.acme.A{i}", method="m", method_descriptor="()V", reason="it is\nnative"
            )
            for i in range(7)
        ],
        traced_methods=1_003,
        traced_probes=3_000,
    )
    with commanded(bench, reply) as gateway:
        result = bench.run("select", target.pid, "com.acme.**#*; b.C#d", "e.F#g", "!e.*#h")
        every = bench.run("select", target.pid, "com.acme.**#*; b.C#d", "e.F#g", "!e.*#h", "--all")
        as_json = bench.run("select", target.pid, "e.F#g", "--json")
    assert done(result) == [
        "selected 2 methods, 1 new, in 84 ms; in total 1,003 methods with 3,000 probes",
        "  com.acme.**#*: 2 methods",
        "  b.C#d: nothing so far, while a client stays connected",
        "  e.F#g: nothing so far",
        "  !e.*#h: excluded",
        "cannot trace 7 of the matching methods:",
        *(f"  com.acme.A{i}#m()V: it is\\nnative" for i in range(5)),
        "  and 2 more; --all lists them",
    ]
    assert result.stderr.splitlines() == [
        f"jcollect: warning: '{selector}' matches no method of the classes loaded so far"
        for selector in ("b.C#d", "e.F#g")
    ]
    assert done(every)[6:] == [f"  com.acme.A{i}#m()V: it is\\nnative" for i in range(7)]
    assert gateway.commands[0] == ["c", "t", "select", "scom.acme.**#*; b.C#d;e.F#g;!e.*#h", "bFalse"]
    whole = json.loads("\n".join(done(as_json)))
    assert whole["took_nanos"] == 84_400_000
    assert whole["selections"][1] == {
        "selector": "b.C#d", "methods": 0, "leased": True, "overruled": 0,
    }  # fmt: skip
    assert whole["failed"][0]["reason"] == "it is\nnative"
    assert "refusal" not in whole


def test_unselect_names_selectors_or_all(bench: Bench, target: Target) -> None:
    reply = ControlReply(methods=[TRACED], selections=SELECTIONS[1:], traced_methods=1, traced_probes=3)
    with commanded(bench, reply) as gateway:
        assert done(bench.run("unselect", target.pid, "com.acme.**#*")) == [
            "unselected 1 method in 0 ms; remaining: 1 method with 3 probes",
            "  b.C#d: nothing so far, while a client stays connected",
        ]
        done(bench.run("unselect", target.pid, "--all"))
        for wrong in ([], ["a.B#c", "--all"]):
            message = refused(bench.run("unselect", target.pid, *wrong), 2)
            assert message.startswith(
                "unselect needs either selectors, as jcollect status prints them, or --all"
            )
    assert [command[3] for command in gateway.commands] == ["scom.acme.**#*", "s"]


def test_set_names_methods_by_the_manifests(bench: Bench, target: Target) -> None:
    reply = ControlReply(
        took_nanos=1_000_000, methods=[TRACED], gates=[GateSettings(least_duration_nanos=20_000_001)]
    )
    with commanded(bench, reply) as gateway:
        result = bench.run("set", target.pid, "*Orders#place", "duration", ">", "20ms")
        bench.run("set", target.pid, "*Orders", "always")
        message = refused(bench.run("set", target.pid, "*Nope*", "always"))
        near = refused(bench.run("set", target.pid, "*Ordesr#place", "always"))
        empty = refused(bench.run("set", target.pid, "", "always"))
    assert done(result) == [
        "set 1 method in 1 ms",
        "  com.acme.Orders#place(JLjava/lang/String;)Z: duration > 20ms",
        "entry probes still fire; attach to '*__return' and '*__throw' only",
    ]
    assert [command[2:] for command in gateway.commands] == [
        ["set", "s1:0", "sduration > 20ms"],
        ["set", "s1:0 1:1", "salways"],
    ]
    assert message == (
        f"'*Nope*' matches none of the 6 probes of PID {target.pid}; one of them is com.acme.Orders#place"
    )
    assert near.endswith(f"of the 6 probes of PID {target.pid}; did you mean com.acme.Orders#place?")
    assert empty.startswith("'' matches none of the 6 probes")


def test_only_a_set_with_an_entry_probe_and_a_minimum_duration_is_said_to_fire_anyway(bench: Bench) -> None:
    place = "com.acme.Orders#place(JLjava/lang/String;)Z, selected by 'com.acme.**#*'"
    # A library's probes have different names; the reply names the method of both sets.
    other = TracedMethod(
        class_name=TRACED.class_name, method="place", method_descriptor=TRACED.method_descriptor, id="1:1"
    )
    slow = GateSettings(least_duration_nanos=20_000, every=10)
    image = StubImage([PLACE, replace(PLACE, method="place_2", kinds=(RETURN, THROW))])
    target = bench.target(image, "nst", "d1t", "det", "d1t", "det")
    for gates, remark in (
        ([GateSettings(every=10), slow], []),
        ([slow, slow], ["entry probes still fire; attach to '*__return' and '*__throw' only"]),
    ):
        with commanded(bench, ControlReply(methods=[TRACED, other], gates=gates)) as gateway:
            lines = done(bench.run("set", target.pid, "*Orders#place*", "every 10"))
        assert gateway.commands[-1][3] == "s1:0 1:1"
        assert lines[1:3] == [f"  {place}: {gate_words(gate)}" for gate in gates]
        assert lines[3:] == remark


def test_all_gates_or_only_the_first_few_are_listed(bench: Bench, target: Target) -> None:
    reply = ControlReply(methods=[TOUCHED] * 8, gates=[GateSettings(every=n) for n in range(2, 10)])
    lines = [f"  com.acme.Orders#touch()V: every {n}" for n in range(2, 10)]
    with commanded(bench, reply):
        for command in (("set", target.pid, "*Orders#place", "every 2"), ("status", target.pid)):
            assert done(bench.run(*command))[-6:] == [*lines[:5], "  and 3 more; --all lists them"]
            assert done(bench.run(*command, "--all"))[-9:][1:] == lines


def test_set_leaves_retired_probes_alone(bench: Bench, target: Target) -> None:
    target.retire(0)
    with commanded(bench, ControlReply()) as gateway:
        message = refused(bench.run("set", target.pid, "*Orders#place", "always"))
    assert message.startswith(f"'*Orders#place' matches only retired probes of PID {target.pid}: ")
    assert gateway.commands == []


def test_status_without_a_gateway_is_read_from_the_mapping(bench: Bench, target: Target) -> None:
    assert done(bench.run("status", target.pid)) == [
        f"agent: 0.1.0 in PID {target.pid}",
        "traced: 2 methods with 6 probes: 6 dormant",
        f"stub libraries: 1 in {bench.directory}/jprobe-1",
        "selected: com.acme.**#*",
        "control: off; to turn it on, use jcollect select, or the agent option control=on",
    ]
    whole = json.loads(bench.run("status", target.pid, "--json").stdout)
    assert whole == {
        "pid": target.pid,
        "version": "0.1.0",
        "selectors": ["com.acme.**#*"],
        "directory": f"{bench.directory}/jprobe-1",
        "libraries": [f"{bench.directory}/jprobe-1/1.so"],
        "methods": 2,
        "states": {"dormant": 6},
        "collectors": [],
    }


def test_status_with_a_gateway_adds_selections_and_gates(bench: Bench, target: Target) -> None:
    reply = ControlReply(
        selections=SELECTIONS, methods=[TRACED], gates=[GateSettings(every=7)], loaded_later=True
    )
    with commanded(bench, reply):
        lines = done(bench.run("status", target.pid))
        whole = json.loads(bench.run("status", target.pid, "--json").stdout)
    assert lines[3:] == [
        "control: on; the agent was loaded into the running JVM",
        "selected:",
        "  com.acme.**#*: 2 methods",
        "  b.C#d: nothing so far, while a client stays connected",
        "changed settings:",
        "  com.acme.Orders#place(JLjava/lang/String;)Z: every 7",
    ]
    assert whole["control"]["gates"] == [{"every": 7}]


def test_an_agent_that_was_reset_is_not_found(bench: Bench, target: Target) -> None:
    target.retire(0)
    for file in (bench.directory / "jprobe-1").iterdir():
        file.unlink()
    message = refused(bench.run("status", target.pid))
    assert message == (
        f"there is no jprobe agent in PID {target.pid}; jcollect select {target.pid} SELECTOR loads it"
    )


def test_reset_verifies_that_the_agent_has_shut_down(bench: Bench, target: Target) -> None:
    def answer(command: list[str]) -> bytes:
        assert command == ["c", "t", "reset"]
        target.retire(0)
        for file in (bench.directory / "jprobe-1").iterdir():
            file.unlink()
        (bench.directory / "jprobe-1").rmdir()
        return b"!yj\n"

    with commanded(bench, answer):
        assert done(bench.run("reset", target.pid)) == [
            f"reset in 0 ms: the agent in PID {target.pid} has shut down"
        ]


@pytest.mark.takes_long
def test_reset_reports_what_is_left(bench: Bench, target: Target) -> None:
    with commanded(bench, ControlReply()):
        message = refused(bench.run("reset", target.pid))
    assert message == (
        f"the agent in PID {target.pid} reports that it has shut down, but has left the directory "
        f"{bench.directory}/jprobe-1, the stub library of generation 1 in use; see the program's stderr"
    )


@pytest.mark.parametrize("arguments", [["unselect", "--all"], ["reset"], ["set", "*", "always"], ["status"]])
def test_there_has_to_be_an_agent(bench: Bench, arguments: list[str]) -> None:
    verb, *rest = arguments
    message = refused(bench.run(verb, os.getpid(), *rest))
    assert message.startswith(f"there is no jprobe agent in PID {os.getpid()}")


@pytest.mark.parametrize("verb", ["select", "unselect", "set", "reset", "status"])
def test_there_has_to_be_a_process(bench: Bench, verb: str) -> None:
    rest = {"select": ["a.B#c"], "unselect": ["a.B#c"], "set": ["*", "always"]}.get(verb, [])
    assert (
        refused(bench.run(verb, 4_000_000, *rest))
        == "there is no process with PID 4000000; jcollect ps lists the processes"
    )


def test_without_loading_the_gateway_must_be_open(bench: Bench, target: Target) -> None:
    message = refused(bench.run("select", target.pid, "a.B#c", "--no-load"))
    assert message == (
        f"cannot command PID {target.pid}: its agent's control gateway is off; start the program with "
        "control=on in the agent's options, or leave out --no-load"
    )


LISTENS = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_an_agent_that_does_not_answer(bench: Bench, target: Target) -> None:
    # The gateway's process is stopped: the kernel still accepts connections for it.
    with subprocess.Popen(
        ["python3", "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as silent:
        assert silent.stdout is not None
        write_endpoint(bench.directory / "jprobe-1", int(silent.stdout.readline()))
        silent.send_signal(signal.SIGSTOP)
        message = refused(bench.run("reset", target.pid, "--timeout", "0.5"))
        silent.kill()
    assert message == (
        f"PID {target.pid} has not answered authentication within 0.5 s: it may be stopped or hanging. "
        f"The command may still be executed; check with: jcollect status {target.pid}"
    )


def test_names_of_the_program_cannot_act_on_the_terminal(bench: Bench, target: Target) -> None:
    evil = TracedMethod(class_name="a.B", method="\x1b[2J", method_descriptor="()V")
    reply = ControlReply(methods=[evil], gates=[GateSettings()], error="")
    with commanded(bench, reply):
        assert done(bench.run("set", target.pid, "*", "always"))[1] == "  a.B#\\x1b[2J()V: every call"
    with commanded(bench, ControlReply(error="no \x1b[2J")):
        status = bench.run("status", target.pid)
        assert status.stderr == f"jcollect: PID {target.pid} rejects status: no \\x1b[2J\n"
        assert "\x1b" not in status.stdout

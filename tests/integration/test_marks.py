"""User-defined probes, in processes of all kinds."""

from __future__ import annotations

import json
import re

import pytest
from collector_fixtures import Bench, Target, events_of

from conditions import require_bpf, wait_until
from recording import Recording
from stub_image import BOOLEAN, LONG, REFERENCE, STRING, UNSIGNED, Method, StubImage, mark, own_image

PLACED = mark("orders", "placed", LONG, UNSIGNED, STRING)
IDLE = mark("orders", "idle")
PATTERNS = ("=nNst", "=0")
PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")


@pytest.fixture
def program(bench: Bench) -> Target:
    """Starts a program that is not a JVM."""
    target = bench.bare_target()
    target.load(own_image(PLACED, IDLE), *PATTERNS)
    return target


def test_events_of_user_defined_probes_outside_a_jvm_arrive_exactly(bench: Bench, program: Target) -> None:
    require_bpf()
    collector = bench.attach(program, "-o", "json")
    assert collector.status().startswith("armed 2 probes of 2 methods in ")
    recording = Recording(program.pid)
    observer = bench.observe(program.pid)
    program.fire(4, 10007)
    calls = 4 * 10007
    assert f"{2 * calls:,} hits = {2 * calls:,} delivered + 0 lost" in collector.end()
    events = recording.end()
    assert {event.kind for event in events} == {"mark"}
    placed = [event for event in events if event.probe.name == "placed"]
    assert sorted(event.values[0] for event in placed) == list(range(calls))
    assert all(event.values[1:] == (-event.values[0] % 2**64, f"call {event.values[0]}") for event in placed)
    assert {event.thread for event in placed} == {100, 101, 102, 103}
    assert {(event.values, event.thread) for event in events if event.probe.name == "idle"} == {((), 0)}
    second = next(e for e in events_of(collector) if e["probe"] == "orders:placed" and e["args"][0] == 1)
    assert list(second) == [
        "time", "pid", "tid", "thread", "probe", "class", "method", "descriptor", "kind", "args", "seq",
    ]  # fmt: skip
    assert (second["kind"], second["args"]) == ("mark", [1, 2**64 - 1, "call 1"])
    observer.wait()
    lines = {line.split(" ", 2)[2] for line in observer.output}
    assert {"orders:idle ()", 'orders:placed (1, 18446744073709551615, "call 1")'} < lines


def test_a_full_mark_of_twelve_values_arrives_whole(bench: Bench) -> None:
    require_bpf()
    target = bench.bare_target()
    target.load(own_image(mark("orders", "wide", *[LONG] * 12)), "=nNnNdhnNnNdht")
    collector = bench.attach(target, "-o", "json")
    target.fire(2, 101)
    assert "202 hits = 202 delivered + 0 lost" in collector.end()
    for event in events_of(collector):
        n, h = event["args"][0], 0x1B2C3D4E
        d = 1000 + n % 1000
        assert event["args"] == [n, -n, n, -n, d, h, n, -n, n, -n, d, h]
        assert event["thread"] == 100 + n // 101


def test_user_defined_probes_are_calls_without_latency_in_top(bench: Bench, program: Target) -> None:
    require_bpf()
    collector = bench.attach(program)
    top = bench.start("top", program.pid, "--interval", "0.2")
    wait_until(lambda: top.output, "the first block")
    program.fire(1, 1009)
    collector.end()
    top.wait()
    text = "\n".join(top.output)
    assert re.search(r" 1,009 +- +- +- +- +- +0  orders:placed", text), text
    assert "2 methods, 2,018 calls, 0 errors; 2,018 events received, 0 lost" in text


def test_user_defined_probes_are_listed_and_selected_by_name(bench: Bench, program: Target) -> None:
    table = bench.run("probes", program.pid).stdout.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [
        ["orders:placed", "armed", "0"],
        ["orders:idle", "armed", "0"],
    ]
    assert table[1].endswith("  long arg0, uint64 arg1, java.lang.String arg2")
    listed = json.loads(bench.run("probes", program.pid, "--json", "--probe", "orders:p*").stdout)
    assert [(each["kind"], each["name"], each["state"]) for each in listed] == [("mark", "placed", "armed")]


def test_a_program_with_libraries_without_probes_is_distinguished_from_one_with_an_agent(
    bench: Bench,
) -> None:
    target = bench.bare_target(is_jvm=True)
    target.load(own_image())
    refused = bench.run("probes", target.pid)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"jcollect: PID {target.pid} has stub libraries of its own without probes; "
        "try again when it has added some\n"
    )


def test_refusals_of_an_agent_do_not_affect_user_defined_probes(bench: Bench) -> None:
    require_bpf()
    target = bench.target(StubImage([], generation=9, refusal="too many"), name="jprobe-1/9.so")
    target.load(own_image(PLACED), "=nNst")
    assert bench.run("probes", target.pid).stderr == (
        f"PID {target.pid} traces nothing: too many\n1 probe of 1 method\n"
    )
    collector = bench.start("attach", target.pid)
    assert collector.status() == f"jcollect: warning: PID {target.pid} traces nothing: too many"
    assert collector.status(1).startswith("armed 1 probe of 1 method in ")


def test_an_agents_probes_and_user_defined_probes_coexist_in_one_process(bench: Bench) -> None:
    require_bpf()
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    target.load(own_image(mark("orders", "seen", REFERENCE)), "=ht")
    collector = bench.attach(target, "-o", "json", "--probe", "orders:*", "--probe", "*__entry")
    target.fire(1, 11)
    collector.end()
    events = events_of(collector)
    assert [event["kind"] for event in events] == ["entry", "mark"] * 11
    assert events[1]["args"] == ["java.util.List@1b2c3d4e"]


def test_the_collector_detaches_from_a_closed_provider(bench: Bench, program: Target) -> None:
    require_bpf()
    collector = bench.attach(program)
    program.fire(1, 11)
    program.retire(0)
    wait_until(lambda: program.semaphores() == 0, "the collector to detach from the library")
    program.load(own_image(PLACED), "=nNst", name="jprobe-1/3.so")
    assert collector.status(1).startswith("armed 1 more probe of 1 method in ")
    program.fire(1, 13)
    assert "35 hits = 35 delivered + 0 lost" in collector.end()

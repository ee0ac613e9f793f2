"""Every type, every kind of method and every exit from one: compares the events of a thread in full.

The traced programs, EveryKind and EveryPath, print the events that their calls must cause.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    Jdk,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    on_every_jdk,
    probes_of,
    wait_for_probes,
)
from jprobe.v1 import collector_pb2
from recording import LOW_32_BITS, Event, Recording

KINDS = "Kinds$**#*"
KINDS_METHODS = 105
UNUSABLE = (
    "jprobe: cannot restore class Kinds$Unusable: "
    "java.lang.InternalError: class redefinition failed: invalid class"
)


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


# Woven code must report every call both interpreted and compiled.
MODES = {
    "interpreted": ["-Xint"],
    "compiled": ["-Xcomp", "-XX:CompileCommand=quiet", "-XX:CompileCommand=compileonly,Kinds*::*"],
}


def run(target: Process) -> Any:
    """Makes the target run its calls; returns the events that it expects."""
    target.send("run")
    return json.loads(target.wait_for_line(r"\{", 60))


def record(target: Process) -> tuple[Any, list[Event], str]:
    """Returns the target's expectations, all events of its calls, and the collector's hit counts."""
    with attach(target.pid) as collector:
        recording = Recording(target.pid)
        said = run(target)
        summary = finish(collector)
        return said, recording.end(), summary


def wait_until_dormant(target: Process) -> None:
    wait_until(
        lambda: {probe["state"] for probe in probes_of(target.pid)} == {"dormant"},
        "all probes to be dormant",
    )


def assert_durations_are_plausible(events: Sequence[Event]) -> None:
    """Checks the durations of one thread. Both ends of a call fire between, or just around, its clock's two
    readings.
    """
    open_calls: list[Event] = []
    for event in events:
        if event.kind == "entry":
            assert event.duration == 0
            open_calls.append(event)
            continue
        # No throw probe fires for exceptions from super() or this().
        while (entry := open_calls.pop()).method != event.method:
            assert entry.probe.method == "<init>"
        assert 0 <= event.duration <= event.time - entry.time
    assert all(entry.probe.method == "<init>" for entry in open_calls)


def assert_recursed_to_the_end_of_the_stack(events: Sequence[Event], depth: int) -> None:
    """Checks the `events` of the recursion: each call has its entry event, and nearly each its throw event.
    At the end of the stack, neither may have room to fire.
    """
    kinds = [event.kind for event in events]
    entries = kinds.count("entry")
    assert kinds == ["entry"] * entries + ["throw"] * (len(kinds) - entries)
    assert entries - depth in (0, 1)
    assert [event.values[0] for event in events[:entries]] == list(range(entries))
    assert len(kinds) - entries > entries - 100
    assert {event.values[0] for event in events[entries:]} == {"java.lang.StackOverflowError"}


@on_every_jdk
@pytest.mark.parametrize("mode", MODES)
def test_the_events_of_every_kind_of_call_are_exact(jdk: Jdk, mode: str, targets: Path) -> None:
    with java(
        jdk, "-cp", targets, "EveryKind", "1024", probes=KINDS, jvm=["-Xverify:all", *MODES[mode]]
    ) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * KINDS_METHODS)
        said, events, summary = record(target)
        wait_until_dormant(target)
        # The JVM cannot restore a class whose initializer has failed, and nothing can call it.
        assert target.err == [UNUSABLE]
    caller, overflow = said["caller"], said["overflow"]
    calls = [event for event in events if event.thread == caller["thread"]]
    assert [event.line for event in calls] == caller["events"]
    assert {event.tid for event in calls} == {caller["tid"]}
    assert_durations_are_plausible(calls)
    assert len({event.method for event in events}) == KINDS_METHODS
    deep = [event for event in events if event.thread == overflow["thread"]]
    assert [event.line for event in deep[-2:]] == overflow["events"]
    assert_recursed_to_the_end_of_the_stack(deep[:-2], overflow["depth"])
    hits = f"{len(events):,}"
    assert f"{hits} hits = {hits} delivered + 0 lost" in summary


@pytest.mark.parametrize("limit", [1, 128])
def test_strings_have_the_maximum_length_of_the_agents_option(limit: int, targets: Path) -> None:
    options = f"string-limit={limit}"
    with java(newest_jdk, "-cp", targets, "EveryKind", str(limit), probes=KINDS, options=options) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * KINDS_METHODS)
        said, events, _ = record(target)
    caller = said["caller"]
    assert [event.line for event in events if event.thread == caller["thread"]] == caller["events"]


CAPTURES = {
    "Captured#fields": (
        "id=arg0.id, urgent=arg0.urgent, b=arg0.tiny, s=arg0.medium, c=arg0.mark, f=arg0.ratio, "
        "d=arg0.exact, zip=arg0.customer.city.zip, name=arg0.customer.city.name"
    ),
    "Captured#getters": (
        "label=arg0.customer.label, rich=arg0.customer.rich, city=arg0.customer().city, "
        "size=arg0.lines.size(), counts=arg0.counts, length=arg0.counts.length, text=arg1.length(), "
        "state=arg0.state.name()"
    ),
    "Captured#broken": (
        "bad=arg0.customer.broken(), id=arg0.id, further=arg0.customer.broken().name, rich=arg0.customer.rich"
    ),
    "Captured#new": "shop=this.shop, arg0, size=this.size, length=arg0.length()",
    "Captured#self(int)": "this, this.shop, size=this.size, add=add",
    "Shop#opened": "shelves=this.shelves().size()",
    "Captured#find": "found=return.customer.city.name, return, id=arg0.id",
    "Captured#fail": "why=exception.message, cause=exception.cause.message",
    "Captured#threads": "thread.name, virtual=thread.virtual",
    "Captured#boxed": "arg0, n=arg0.intValue(), digits=arg0.toString()",
    "Captured#named(Order,long)": "order.id, extra",
    "Gated#picked": "label=arg1.customer.label",
    "Gated#late": "square=return, number=arg0",
}
CONDITIONS = {
    "Gated#early": "when arg0 >= 10 && arg1 != 'skip'",
    "Gated#returning": "when return",
    "Gated#failing": "when exception == 'EveryPath$Refusal'",
    "Gated#slow": "when duration >= 20ms",
    "Gated#slowAndRare": "when duration >= 20ms every 2",
    "Gated#every": "every 7",
    "Gated#limited": "at most 5/s",
    "Gated#open": "when arg0.state == 'OPEN'",
    "Gated#notOpen": "when arg0.state != 'OPEN'",
    "Gated#stateless": "when arg0.state == null",
    "Gated#decimal": "when arg0 < 1.5 && !(arg1 >= 2.5)",
    "Gated#text": "when (arg0 == 'x' || arg0 > 0x7f) and word == 'a\"b;#c, d'",
    "Gated#picked": "when arg0 > 5 every 3",
    "Gated#nested": "every 2",
    "Gated#here": "when thread.name == 'caller'",
    "Gated#late": "when number != 5 && square > 10",
}
SELECTORS = [
    f"EveryPath${method}"
    + (f"({CAPTURES[method]})" if method in CAPTURES else "")
    + f" {CONDITIONS.get(method, '')}"
    for method in {**CAPTURES, **CONDITIONS}
]
PATHS_METHODS = 27
# These have no entry probe: their conditions can only be evaluated when a call ends.
WITHOUT_ENTRY = 5


def names_and_paths(captures: str) -> set[tuple[str, str]]:
    """Splits captures as in "id=arg0.id, arg1": a value without a name is named by its path."""
    parts = [capture.strip().split("=") for capture in captures.split(",")]
    return {(part[0], part[-1]) for part in parts}


def assert_values_are_named(probes: Iterable[collector_pb2.Probe]) -> None:
    """Checks names against the selectors; the values of one method come from several of its probes."""
    named: dict[str, set[tuple[str, str]]] = {}
    for probe in probes:
        for value in probe.values:
            if value.path:
                named.setdefault(method_in_selectors(probe), set()).add((value.name, value.path))
            elif method_in_selectors(probe) in CAPTURES:
                assert value.name in ("return", "exception", "absent")
    assert named == {method: names_and_paths(captures) for method, captures in CAPTURES.items()}


def method_in_selectors(probe: collector_pb2.Probe) -> str:
    name = probe.class_name.removeprefix("EveryPath$") + "#" + probe.method.replace("<init>", "new")
    return next((method for method in CAPTURES if method.split("(")[0] == name), name)


def captures_as_json(event: Event) -> dict[str, object]:
    """Returns the captures as `-o json` prints them, by docs/event-format.md, from the values received over
    gRPC.
    """
    absent = event.values[-1] if event.probe.values and event.probe.values[-1].name == "absent" else 0
    assert isinstance(absent, int)
    captures: dict[str, object] = {}
    for i, value in enumerate(event.probe.values):
        if absent >> i & 1:
            captures[value.name] = {"absent": "null"}
        elif absent >> (16 + i) & 1:
            captures[value.name] = {"absent": "exception"}
        elif value.path:
            captures[value.name] = value_as_json(event, i)
    return captures


def value_as_json(event: Event, index: int) -> object:
    value, declared = event.values[index], event.probe.values[index]
    if value is None:
        return None
    if isinstance(value, str):
        # Of the objects that EveryPath passes, only an Integer becomes a number.
        return int(value) if declared.rendered and value.lstrip("-").isdigit() else value
    match declared.java_type:
        case "boolean":
            return bool(value)
        case "char":
            return chr(value)
        case "float":
            return struct.unpack("<f", struct.pack("<I", value & LOW_32_BITS))[0]
        case "double":
            number = struct.unpack("<d", struct.pack("<Q", value))[0]
            return number if math.isfinite(number) else "NaN"
        case "byte" | "short" | "int" | "long":
            return value - (1 << 64) if value >> 63 else value
        case other:
            raise ValueError(other)


@on_every_jdk
def test_captured_paths_and_conditions_are_exact(jdk: Jdk, targets: Path) -> None:
    selectors = ";".join(SELECTORS)
    with java(jdk, "-cp", targets, "EveryPath", probes=selectors, jvm=["-Xverify:all"]) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * PATHS_METHODS - WITHOUT_ENTRY)
        with attach(target.pid, "-o", "json") as collector:
            recording = Recording(target.pid)
            said = run(target)
            filtered = recording.filtered()
            summary = finish(collector)
            events = recording.end()
        wait_until_dormant(target)
        assert target.err == []
    assert [event.line for event in events] == said["events"]
    assert {event.thread for event in events} == {said["thread"]}
    assert filtered == said["held"]
    held, delivered = sum(said["held"].values()), len(said["events"])
    assert f"{held + delivered} hits = {delivered} delivered + {held} filtered + 0 lost" in summary
    assert_values_are_named(recording.probes.values())
    lines = [json.loads(line) for line in collector.out]
    assert [line["seq"] for line in lines] == [event.seq for event in events]
    assert [line.get("captures", {}) for line in lines] == list(map(captures_as_json, events))

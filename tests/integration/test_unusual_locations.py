"""Traced methods in hooks, finalizers and signal handlers, at the ends of stacks and heaps, are counted
exactly.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from conditions import require_bpf
from java_target import Jdk, attach, java, on_newest_jdk, wait_for_probes
from recording import Event, Recording

SELECTORS = [
    # Paths that call traced methods, some of which have such paths themselves.
    "OddPlaces$Mirror#name(me=this.toString())",
    "OddPlaces$Mirror#age(me=this.toString())",
    "OddPlaces$Deep#named(text=arg0.text())",
    "OddPlaces$*#*",
    "!OddPlaces$*#new",
    "OddMaking#new",
]
# Probes of the classes that are loaded when it is ready.
PROBES_AT_FIRST = 90
# A class whose initializer has failed cannot be changed, and no class can while the heap is full.
EXPECTED = re.compile("jprobe: cannot (.* class OddPlaces.Broken: |.*: java.lang.OutOfMemoryError)")


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def tallies(events: Sequence[Event]) -> Counter[str]:
    """Returns the number of events of each method and kind, keyed as in "Exit#leave entry"."""
    return Counter(
        f"{event.probe.class_name.rpartition('$')[2]}#{event.probe.method} {event.kind}" for event in events
    )


def expected(said: dict[str, int]) -> Counter[str]:
    """Derives the events from the program's own counts: a call that began returns, throws, or never ends."""
    tally: Counter[str] = Counter()
    for method in (name for name in said if " " not in name):
        throws, opens = (said.get(f"{method} {kind}", 0) for kind in ("throw", "open"))
        tally[f"{method} entry"] = said[method]
        tally[f"{method} throw"] = throws
        tally[f"{method} return"] = said[method] - throws - opens
    return +tally


def assert_ended_with_the_stack(events: Sequence[Event]) -> None:
    """Checks the `events` of the thread that recursed to the end of its stack repeatedly."""
    dives = [event for event in events if event.probe.method == "dive"]
    thrown = {event.values[0] for event in events if event.kind == "throw"}
    assert len(dives) > 1_000
    assert thrown == {"java.lang.StackOverflowError"}
    # With its whole stack available again, the thread evaluates paths as usual.
    last = [event for event in events if event.probe.method == "named"][-2:]
    assert [(event.kind, event.values[-2:]) for event in last] == [
        ("entry", ("deep", 0)),
        ("return", ("deep", 0)),
    ]


def assert_described_by_what_fires_nothing(events: Sequence[Event]) -> None:
    """Checks the `events` of objects that are captured by the result of one of their traced methods."""
    entries = [event for event in events if event.kind == "entry"]
    assert {event.probe.method for event in entries} == {"name", "age"}
    assert {event.values for event in entries} == {("mirror36", 0)}


@on_newest_jdk
def test_calls_in_unusual_situations_are_counted_exactly_and_their_results_are_unchanged(
    jdk: Jdk, targets: Path
) -> None:
    probes = ";".join(SELECTORS)
    with java(jdk, "-cp", targets, "OddPlaces", probes=probes, jvm=["-Xmx48m"]) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES_AT_FIRST)
        with attach(target.pid) as collector:
            recording = Recording(target.pid)
            target.send("visit")
            said = json.loads(target.wait_for_line(r"\{"))
            assert target.wait() == 7
            assert collector.wait() == 0
            events = recording.end()
        assert [line for line in target.err if not EXPECTED.match(line)] == []
    assert "Attacher#attach" in said or not Path(jdk.javac).exists()
    assert "Sleeper#run" in said or jdk.version < 21
    deep = [event for event in events if event.probe.class_name == "OddPlaces$Deep"]
    mirrors = [event for event in events if event.probe.class_name == "OddPlaces$Mirror"]
    assert tallies([event for event in events if event.probe.class_name != "OddPlaces$Deep"]) == expected(
        said
    )
    assert_ended_with_the_stack(deep)
    assert_described_by_what_fires_nothing(mirrors)

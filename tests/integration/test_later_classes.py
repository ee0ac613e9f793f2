"""Classes that a real JVM loads and unloads while a collector is attached."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    jcollect,
    on_newest_jdk,
    probes_of,
    run,
    wait_for_probes,
)
from recording import Recording

CALLS = 20_011
MARKED = 1_000_000  # Arguments from here on belong to calls that must all arrive.


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture
def later(jdk: Jdk, targets: Path) -> Iterator[Process]:
    with java(jdk, "-cp", targets, "Later", probes="Later$*#applyAsInt") as target:
        target.wait_for_line("ready")
        yield target


def call(target: Process, name: str, first: int, calls: int) -> None:
    target.send(f"call {name} {first} {calls}")
    target.wait_for_line("called")


def seconds_until_first_event(target: Process, recording: Recording, name: str) -> float:
    """Returns the time from before the class is loaded until a client has an event of it."""
    begun = time.monotonic()

    def has_come() -> bool:
        call(target, name, 0, 1)
        return any(event.probe.class_name == f"Later${name}" for event in recording.so_far())

    wait_until(has_come, f"an event of {name}")
    return time.monotonic() - begun


def marked(recording: Recording, name: str) -> list[object]:
    """Returns the arguments of the calls that must arrive."""
    return [
        event.values[0]
        for event in recording.end()
        if event.probe.class_name == f"Later${name}" and event.kind == "entry" and event.values[0] >= MARKED
    ]


@on_newest_jdk
def test_classes_that_are_loaded_later_are_traced_within_a_second(later: Process) -> None:
    call(later, "First", 0, 1)
    wait_for_probes(later.pid, 3)
    collector = attach(later.pid)
    recording = Recording(later.pid)
    took = {name: seconds_until_first_event(later, recording, name) for name in ("Second", "Third")}
    for name in took:
        collector.wait_for_line("armed 3 more probes of 1 method in ")
        assert name in took
    for name in ("First", "Second", "Third"):
        call(later, name, MARKED, CALLS)
    summary = finish(collector)
    assert " + 0 lost" in summary
    for name in ("First", "Second", "Third"):
        assert marked(recording, name) == list(range(MARKED, MARKED + CALLS))
    # The shorter of two, because the machine may be busy during one of them.
    assert min(took.values()) < 1.0, took


@on_newest_jdk
def test_a_collector_that_waits_sees_the_first_class(later: Process) -> None:
    refused = run(JCOLLECT, "attach", later.pid)
    assert refused.returncode == 1
    assert "'Later$*#applyAsInt' traces no method of the classes loaded so far" in refused.stderr
    assert refused.stderr.endswith("; add --wait to wait for probes\n")
    collector = jcollect("attach", later.pid, "--wait")
    collector.wait_for_line(rf"waiting for probes of PID {later.pid} \(Later\); serving unix://")
    recording = Recording(later.pid)
    call(later, "First", 0, 1)
    collector.wait_for_line("armed 3 probes of 1 method in ")
    call(later, "First", MARKED, CALLS)
    assert " + 0 lost" in finish(collector)
    assert marked(recording, "First") == list(range(MARKED, MARKED + CALLS))


@on_newest_jdk
def test_unloaded_classes_are_detached_from_and_keep_their_hit_counts(later: Process) -> None:
    # The classes are loaded one after the other, so that each has its own stub library.
    call(later, "First", 0, 1)
    wait_for_probes(later.pid, 3)
    call(later, "Second", 0, 1)
    wait_for_probes(later.pid, 6)
    collector = attach(later.pid)
    recording = Recording(later.pid)
    call(later, "First", MARKED, 101)
    call(later, "Second", MARKED, 103)
    later.send("drop Second")
    later.wait_for_line("dropped")

    def second_is_detached() -> bool:
        later.send("collect")
        later.wait_for_line("collected")
        return all(
            (probe["state"], probe["semaphore_count"]) == ("retired", 0)
            for probe in probes_of(later.pid)
            if probe["class"] == "Later$Second"
        )

    wait_until(second_is_detached, "the collector to detach from the probes of Second")
    call(later, "First", MARKED + 101, 107)
    call(later, "Second", 0, 1)  # Another class of that name, in another class loader.
    collector.wait_for_line("armed 3 more probes of 1 method in ")
    call(later, "Second", MARKED + 103, 109)
    events = 2 * (101 + 103 + 107 + 109)
    assert f"{events:,} hits = {events:,} delivered + 0 lost" in finish(collector)
    assert marked(recording, "First") == list(range(MARKED, MARKED + 208))
    assert marked(recording, "Second") == list(range(MARKED, MARKED + 212))

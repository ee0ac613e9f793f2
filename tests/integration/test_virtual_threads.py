"""Virtual threads change their kernel thread in the middle of a call: their events stay correct."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from conditions import require_bpf
from java_target import attach, finish, java, newest_jdk, wait_for_probes
from recording import Event, Recording

FIRST_WITH_VIRTUAL_THREADS = 21
THREADS = 20_000
TWO_CARRIERS = ["-Djdk.virtualThreadScheduler.parallelism=2", "-Djdk.virtualThreadScheduler.maxPoolSize=2"]
PROBES = "Sleepers$Bed#sleep;Sleepers$Bed#nap(thread.name, virtual=thread.virtual, index=arg0)"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


# Maximum error of the clock from the time stamp counter: java-agent/src/main/c/direct/clock.h.
CLOCK_ERROR_NS = 1000


@dataclass(frozen=True)
class Call:
    """A thread's own record of its call; durations in ns: of the sleep alone, and around the call."""

    thread: int
    index: int
    millis: int
    inside: int
    around: int


def calls_of(file: Path) -> list[Call]:
    return [Call(*map(int, line.split())) for line in file.read_text().splitlines()]


def assert_entry_is_of(call: Call, entry: Event) -> None:
    assert entry.kind == "entry"
    if call.index % 2 == 0:
        assert entry.probe.method == "sleep"
        assert entry.values == (call.index, call.millis)
    else:
        assert entry.probe.method == "nap"
        assert entry.values == (f"sleeper-{call.index}", 1, call.index, 0)


def assert_return_is_of(call: Call, returned: Event, entry: Event) -> None:
    assert returned.kind == "return"
    assert returned.method == entry.method
    captured = (f"sleeper-{call.index}", 1, call.index, 0) if call.index % 2 else ()
    assert returned.values == (call.index, *captured)
    assert call.millis * 1_000_000 <= call.inside <= returned.duration + CLOCK_ERROR_NS
    assert returned.duration <= call.around + CLOCK_ERROR_NS
    assert returned.duration <= returned.time - entry.time + CLOCK_ERROR_NS


def test_calls_of_virtual_threads_that_move_are_paired_and_measured_right(
    targets: Path, tmp_path: Path
) -> None:
    assert newest_jdk.version >= FIRST_WITH_VIRTUAL_THREADS, f"{newest_jdk} has no virtual threads"
    file = tmp_path / "calls"
    with java(
        newest_jdk, "-cp", targets, "Sleepers", str(THREADS), file, probes=PROBES, jvm=TWO_CARRIERS
    ) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 6)
        with attach(target.pid) as collector:
            recording = Recording(target.pid)
            target.send("run")
            target.wait_for_line("done", 60)
            summary = finish(collector)
            events = recording.end()
        assert target.err == []
    assert "40,000 hits = 40,000 delivered + 0 lost" in summary
    assert len({event.tid for event in events}) == 2
    by_thread: dict[int, list[Event]] = {}
    for event in events:
        by_thread.setdefault(event.thread, []).append(event)
    calls = calls_of(file)
    assert by_thread.keys() == {call.thread for call in calls}
    assert len(by_thread) == THREADS
    moved = 0
    for call in calls:
        entry, returned = by_thread[call.thread]
        assert_entry_is_of(call, entry)
        assert_return_is_of(call, returned, entry)
        moved += entry.tid != returned.tid
    assert moved > THREADS / 20, "hardly any thread has moved: this proves nothing"

"""attach --last: nothing is read until a trigger, and what was before it is delivered then."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    java,
    on_every_jdk,
    on_newest_jdk,
    run,
    states_of,
    wait_for_probes,
)

PROBES = 3
# A record of a return probe with its header, in bytes: the rings of 256 KiB hold about 3,500.
SMALL = "ring-size=256k"
MOST_KEPT = 4096


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture
def program(jdk: Jdk, targets: Path, tmp_path: Path) -> Iterator[Process]:
    # A crash writes a report.
    jvm = [f"-XX:ErrorFile={tmp_path}/crash.log"]
    with java(jdk, "-cp", targets, "Recorded", probes="Recorded.Work#call", options=SMALL, jvm=jvm) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES)
        yield target


def recorder(target: Process, *triggers: str, last: str = "60s") -> Process:
    """Attaches a flight recorder to the return and throw probes."""
    on = [part for trigger in triggers for part in ("--on", trigger)]
    return attach(target.pid, "--last", last, *on, "--probe", "*__[rt]*", "-o", "json")


def tell(target: Process, command: str) -> None:
    target.send(command)
    target.wait_for_line("done")


def events_of(collector: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in list(collector.out)]


def numbers_of(events: list[dict[str, Any]]) -> list[int]:
    """Returns the numbers of the calls that returned."""
    return [event["value"] for event in events if event["kind"] == "return"]


def overwritten_of(collector: Process) -> int:
    line = next(line for line in collector.err if "detached after" in line)
    found = re.search(r"; ([\d,]+) more were overwritten or too old", line)
    assert found, line
    return int(found[1].replace(",", ""))


def end(collector: Process) -> None:
    collector.signal(signal.SIGINT)
    assert collector.wait() == 0, collector.err


@on_every_jdk
def test_an_exception_delivers_what_was_before_it(program: Process) -> None:
    with recorder(program, "exception") as collector:
        tell(program, "calls 20000")
        assert not collector.out
        tell(program, "throw")
        wait_until(lambda: any(event["kind"] == "throw" for event in events_of(collector)), "the exception")
        end(collector)
    events = events_of(collector)
    numbers = numbers_of(events)
    assert 1000 < len(numbers) < MOST_KEPT
    assert numbers == list(range(20_000 - len(numbers), 20_000))
    assert events[-1]["kind"] == "throw"
    assert len(numbers) + overwritten_of(collector) == 20_000
    wait_until(lambda: states_of(program.pid) == {"dormant": PROBES}, "restored")


@on_newest_jdk
def test_a_long_call_is_a_trigger_and_a_short_one_is_not(program: Process) -> None:
    with recorder(program, "duration > 50ms") as collector:
        tell(program, "calls 100")
        tell(program, "throw")
        tell(program, "slow 5")
        time.sleep(0.3)
        assert not collector.out
        tell(program, "slow 60")
        wait_until(lambda: len(collector.out) == 103, "all events")
        end(collector)
    assert numbers_of(events_of(collector)) == [*range(100), 101, 102]
    assert overwritten_of(collector) == 0


@on_newest_jdk
def test_each_trigger_delivers_what_has_come_since(program: Process) -> None:
    with recorder(program, "exception") as collector:
        for round_number in range(3):
            tell(program, "calls 500")
            tell(program, "throw")
            wait_until(lambda: len(collector.out) == 501 * (round_number + 1), "the events")  # noqa: B023
        tell(program, "calls 500")
        end(collector)
    assert numbers_of(events_of(collector)) == [n for n in range(1503) if n % 501 != 500]
    # The last ones came after the last trigger.
    assert overwritten_of(collector) == 500


@on_newest_jdk
def test_older_events_than_asked_for_are_left_out(program: Process) -> None:
    with recorder(program, "exception", last="500ms") as collector:
        tell(program, "calls 200")
        time.sleep(1.0)
        tell(program, "calls 100")
        tell(program, "throw")
        wait_until(lambda: len(collector.out) >= 101, "the events")
        end(collector)
    assert numbers_of(events_of(collector)) == list(range(200, 300))
    assert overwritten_of(collector) == 200


@on_newest_jdk
@pytest.mark.parametrize("how", ["kill -9", "crash"])
def test_the_last_events_of_a_program_that_dies_are_delivered(program: Process, how: str) -> None:
    with recorder(program, "exit") as collector:
        tell(program, "calls 20000")
        if how == "crash":
            program.send("crash")
        else:
            program.signal(signal.SIGKILL)
        assert collector.wait() == 0, collector.err
    numbers = numbers_of(events_of(collector))
    assert 1000 < len(numbers) < MOST_KEPT
    assert numbers == list(range(20_000 - len(numbers), 20_000))
    assert len(numbers) + overwritten_of(collector) == 20_000
    assert any("the rings held only the last " in line for line in collector.err)


@on_newest_jdk
def test_the_time_before_an_exit_ends_with_the_last_event(program: Process) -> None:
    # The exit is noticed about half a second later.
    with recorder(program, "exit", last="100ms") as collector:
        tell(program, "calls 100")
        time.sleep(0.5)
        tell(program, "calls 200")
        program.signal(signal.SIGKILL)
        assert collector.wait() == 0, collector.err
    assert numbers_of(events_of(collector)) == list(range(100, 300))
    assert overwritten_of(collector) == 100
    assert not any("the rings held only" in line for line in collector.err)


@on_newest_jdk
def test_the_time_before_a_long_call_ends_with_its_begin(program: Process) -> None:
    with recorder(program, "duration > 200ms", last="100ms") as collector:
        tell(program, "calls 200")
        tell(program, "slow 400")
        wait_until(lambda: len(collector.out) == 201, "the events")
        status = run(JCOLLECT, "status", program.pid).stdout
        end(collector)
    assert numbers_of(events_of(collector)) == list(range(201))
    assert (
        "flight recorder: the last 100ms before duration > 200ms, triggered 1 time; the rings reach "
        in status
    )
    assert any("flight recorder: triggered 1 time; 0 more were overwritten" in line for line in collector.err)


@on_newest_jdk
def test_without_a_trigger_the_collector_reads_nothing(program: Process) -> None:
    with recorder(program, "exception") as collector:
        before = cpu_ticks(collector.pid)
        for _ in range(20):
            tell(program, "calls 20000")
        used = cpu_ticks(collector.pid) - before
        end(collector)
    assert not collector.out
    assert overwritten_of(collector) == 400_000
    assert not any("no events" in line for line in collector.err)
    # Reading 400,000 events takes more. The rest is the search for new probes.
    assert used <= 20, f"{used} ticks"


def cpu_ticks(pid: int) -> int:
    """Returns the CPU time of a process in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--last", "10s"), "--last needs a trigger"),
        (("--on", "exit"), "--on needs --last"),
        (("--last", "10s", "--on", "full moon"), "'full moon' is no trigger: use exception, exit, or a time"),
        (
            ("--last", "10s", "--on", "duration >= 2ms"),
            "a duration can only be compared with >, as in 'duration",
        ),
        (
            ("--last", "10s", "--on", "duration<2ms"),
            "a duration can only be compared with >, as in 'duration",
        ),
        (("--last", "2h", "--on", "exit"), "'2h' is no time"),
        (("--last", "10s", "--on", "exit", "--lane", "kernel"), "omit --lane kernel"),
    ],
)
def test_bad_options_are_rejected(options: tuple[str, ...], message: str) -> None:
    refused = run(JCOLLECT, "attach", "1", *options)
    assert refused.returncode == 2 or refused.returncode == 1
    assert message in refused.stderr

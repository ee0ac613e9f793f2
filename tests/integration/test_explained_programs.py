"""Programs whose calls are explained begin and exit as others do, and their calls stay apart."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import JCOLLECT, JDKS, attach, finish, java, jcollect, run
from jcollect.sources.bpf.bpf_syscalls import create_hash, delete_from_hash, update_hash

SLEEP = "Shares#sleep"
EXPLAINED = ("--select", SLEEP, "--probe", "*__return", "--explain", "cpu", "-o", "json")


def attached(pid: int) -> list[int]:
    """Returns the processes that the collector of a process is attached to."""
    (collector,) = json.loads(run(JCOLLECT, "status", pid, "--json").stdout)["collectors"]
    return [int(process["pid"]) for process in collector["processes"]]


def test_a_program_that_exits_is_left_and_the_collector_goes_on(targets: Path) -> None:
    """The second of two programs is explained after the first one has exited."""
    require_bpf()
    with (
        java(JDKS[-1], "-cp", targets, "Shares") as first,
        java(JDKS[-1], "-cp", targets, "Shares") as second,
    ):
        first.wait_for_line("ready")
        second.wait_for_line("ready")
        with jcollect("attach", first.pid, second.pid, *EXPLAINED, "--max-overhead", 0) as collector:
            for _ in range(2):
                collector.wait_for_line(r"PID \d+ \(Shares\): armed ")
            first.send("sleep 3")
            first.wait_for_line("done sleep")
            first.finish_input()
            assert first.wait() == 0
            collector.wait_for_line(rf".*PID {first.pid} \(Shares\): has exited")
            wait_until(lambda: attached(second.pid) == [second.pid], "the first program to be left")
            second.send("sleep 5")
            second.wait_for_line("done sleep")
            finish(collector)
            events = [json.loads(line) for line in collector.out]
    assert [event["pid"] for event in events] == [first.pid] * 3 + [second.pid] * 5
    explained = [event["explain"] for event in events if "explain" in event]
    # The kernel reports some switches to no tracepoint.
    assert len(explained) >= 4
    assert all(parts["off_cpu_ns"] > 0 for parts in explained)


def test_when_its_only_program_exits_the_collector_ends_without_an_error(targets: Path) -> None:
    require_bpf()
    with java(JDKS[0], "-cp", targets, "Shares") as target:
        target.wait_for_line("ready")
        with attach(target.pid, *EXPLAINED) as collector:
            target.send("sleep 3")
            target.wait_for_line("done sleep")
            target.finish_input()
            assert target.wait() == 0
            assert collector.wait() == 0, collector.err
            assert len(collector.out) == 3
            assert not [line for line in collector.err if "warning" in line or "Traceback" in line]


def test_elements_of_a_hash_are_set_and_removed() -> None:
    require_bpf()
    table = create_hash("test", 4, 4, 2)
    try:
        for _ in range(3):
            for key in (b"one.", b"two."):
                update_hash(table, key, b"1234")
            for key in (b"one.", b"two."):
                delete_from_hash(table, key)
        with pytest.raises(FileNotFoundError):
            delete_from_hash(table, b"one.")
    finally:
        os.close(table)

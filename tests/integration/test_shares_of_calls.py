"""The parts of a call's duration are those that the kernel's own clocks measure."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from conditions import require_bpf
from java_target import JCOLLECT, JDKS, Jdk, as_user, attach, finish, java, run
from shares import KINDS, Shares, run_shares

PAGES = 509
SLEEP = "Sleepers$Bed#sleep"
# Threads of the JVM that always want the CPU to which all of them are pinned.
CONTENDED: dict[str, Any] = {"before": ("taskset", "--cpu-list", "0"), "jvm": ("-Dspinners=1",)}
SHORT = [(kind, 7) for kind in KINDS]


def check(shares: Shares, kinds: list[tuple[str, int]]) -> None:
    for kind, _ in kinds:
        calls = shares.of_kind(kind)
        explained = [event["explain"] for _, event in calls if "on_cpu_ns" in event.get("explain", {})]
        # The kernel reports some switches to no tracepoint: the calls are unknown, and not wrong. On a busy
        # machine they are more than the usual 1%.
        assert len(explained) >= 0.5 * len(calls), kind
        if kind == "faults":
            # They take 3 ms, less than asking the kernel may add.
            continue
        errors = shares.errors(kind)
        assert max(errors.values()) < shares.most_error(kind), (kind, errors)
        for _, event in calls:
            parts = event.get("explain", {})
            if "on_cpu_ns" in parts:
                shares_sum = parts["on_cpu_ns"] + parts["run_queue_ns"] + parts["off_cpu_ns"]
                assert shares_sum == event["duration_ns"], event


def check_details(shares: Shares) -> None:
    for _, event in shares.of_kind("faults"):
        assert PAGES <= event["explain"]["faults"] < PAGES + 20
    for truth, event in shares.of_kind("sleep"):
        parts = event["explain"]
        assert parts["top_syscall"] == "futex"
        assert truth.off_cpu <= parts["syscall_ns"] + 200_000
        if "on_cpu_ns" in parts:
            assert parts["voluntary_switches"] >= 1
    for truth, event in shares.of_kind("collect"):
        parts = event["explain"]
        assert 0 < parts["pause_ns"] < truth.duration
        assert parts["pause"]
    # The JVM also pauses for other reasons, seldom.
    assert median(event["explain"]["pause_ns"] for _, event in shares.of_kind("spin")) == 0
    for kind, most in (("outer", 2), ("recurse", 5)):
        for number in [number for number, truth in shares.truths.items() if truth.kind == kind]:
            events = shares.events[number]
            assert len(events) == most
            # Innermost first. What a call's thread did includes what it did in the calls that it made.
            for inner, outer in pairwise(events):
                for part, time in inner["explain"].items():
                    if isinstance(time, int) and part in outer["explain"] and "top" not in part:
                        assert time <= outer["explain"][part], (part, inner, outer)


@pytest.mark.parametrize(
    ("jdk", "lane"), [(JDKS[0], "direct"), (JDKS[-1], "kernel")], ids=["oldest-direct", "newest-kernel"]
)
def test_shares_are_what_the_kernel_measures(targets: Path, jdk: Jdk, lane: str) -> None:
    require_bpf()
    shares = run_shares(jdk, targets, lane, SHORT)
    check(shares, SHORT)
    check_details(shares)


def test_waiting_for_a_cpu_is_no_waiting_for_a_lock(targets: Path) -> None:
    require_bpf()
    kinds = [("spin", 7), ("sleep", 5)]
    shares = run_shares(JDKS[-1], targets, "direct", kinds, **CONTENDED)
    check(shares, kinds)
    assert any(event["explain"].get("run_queue_ns", 0) > 1_000_000 for _, event in shares.of_kind("spin"))


@pytest.mark.takes_long
@pytest.mark.parametrize("lane", ["direct", "kernel"])
@pytest.mark.parametrize("jdk", JDKS, ids=str)
@pytest.mark.parametrize("is_contended", [False, True], ids=["free", "contended"])
def test_many_calls(targets: Path, jdk: Jdk, lane: str, is_contended: bool) -> None:
    require_bpf()
    kinds = [(kind, 100) for kind in KINDS if not is_contended or kind != "faults"]
    shares = run_shares(jdk, targets, lane, kinds, **(CONTENDED if is_contended else {}))
    check(shares, kinds)
    check_details(shares)


def test_calls_of_virtual_threads_are_explained_and_counted(targets: Path, tmp_path: Path) -> None:
    require_bpf()
    selected = ["--select", SLEEP, "--probe", "*__return"]
    with java(JDKS[-1], "-cp", targets, "Sleepers", "50", tmp_path / "calls") as target:
        target.wait_for_line("ready")
        with attach(target.pid, *selected, "--explain", "all", "-o", "json") as collector:
            target.send("run")
            target.wait_for_line("done")
            status = run(JCOLLECT, "status", target.pid).stdout
            finish(collector)
            events = [event for event in map(json.loads, collector.out) if event["kind"] == "return"]
    assert len(events) == 25
    known = [event for event in events if event["explain"].get("unmounted_ns", 0) > 900_000]
    assert len(known) >= 20
    found = re.search(
        r"^explained: (\d+) calls?, (\d+) unknown; [\d,]+ records of threads read, 0 lost$", status, re.M
    )
    assert found
    assert int(found[1]) + int(found[2]) == 25


def test_without_rights_explaining_is_refused_before_anything_is_done(shared_targets: Path) -> None:
    user = as_user("nobody", reads_checkout=True)
    with java(JDKS[-1], "-cp", shared_targets, "Sleepers", "1", "/dev/null", before=user, cwd="/") as target:
        target.wait_for_line("ready")
        refused = run(*user, JCOLLECT, "attach", target.pid, "--select", SLEEP, "--explain", "cpu")
    assert refused.returncode == 1
    assert (
        "cannot explain calls: what the kernel does with threads is only for users with CAP_BPF"
        in refused.stderr
    )


def test_calls_that_are_only_counted_are_not_explained(targets: Path) -> None:
    require_bpf()
    with java(JDKS[-1], "-cp", targets, "Sleepers", "1", "/dev/null") as target:
        target.wait_for_line("ready")
        refused = run(
            JCOLLECT, "attach", target.pid, "--select", SLEEP, "--explain", "cpu", "--no-events",
            "--metrics", "127.0.0.1:0", "--insecure",
        )  # fmt: skip
    assert refused.returncode == 1
    assert "leave out one of --explain and --no-events" in refused.stderr


@pytest.mark.parametrize("words", ["cpu,walltime", "runq;offcpu"])
def test_an_unknown_part_is_rejected_with_the_known_ones(words: str) -> None:
    refused = run(JCOLLECT, "attach", 1, "--explain", words)
    assert refused.returncode == 2
    assert "is not a part of a call; the parts are" in refused.stderr

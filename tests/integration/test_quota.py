"""Probes in a program with a CPU quota: the overhead limit is a share of the quota, and the program
goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cgroup import Cgroup
from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    finish,
    java,
    jcollect,
    newest_jdk,
    run,
    wait_for_probes,
)
from throughput import SECOND_NS, Throughput, work

require_bpf()


@pytest.fixture
def group() -> Iterator[Cgroup]:
    with Cgroup("jprobe-test") as group:
        yield group


def mill(jdk: Jdk, targets: Path, threads: int, before: list[str]) -> Process:
    target = java(jdk, "-cp", targets, "Mill", str(threads), probes="Mill#grain", before=before, guarded=True)
    target.wait_for_line("ready")
    wait_for_probes(target.pid, 3)
    return target


def end(target: Process) -> None:
    target.send("")
    assert target.wait() == 0


def overhead(pid: int) -> dict[str, Any]:
    reported: dict[str, Any] = json.loads(run(JCOLLECT, "status", pid, "--json").stdout)["overhead"]
    return reported


def test_with_a_third_of_a_core_a_program_does_half_of_its_work_in_any_five_seconds(
    targets: Path, group: Cgroup
) -> None:
    with mill(newest_jdk, targets, 1, group.starting()) as target:
        # Compiled before the quota applies, because compilation is not measured.
        work(target, 1)
        group.limit(0.3)
        calm, began = work(target, 2)
        with jcollect("attach", target.pid, "--probe", "*grain__return") as collector:
            collector.wait_for_line("jcollect: warning: throttled: ")
            _, ended = work(target, 6)
            reported = overhead(target.pid)
            summary = finish(collector)
        end(target)
    assert (reported["asked_percent"], reported["max_percent"]) == (50, 10)
    assert reported["available_ns"] == 0.3 * SECOND_NS
    assert reported["throttled_methods"] == 1
    (line,) = (line for line in target.err if "throttled" in line)
    assert re.match(
        r"jprobe: throttled Mill#grain: cost \d+% of a core in the last second, and the limit for all "
        r"probes is \d+% \(.*; max-overhead is 50%\); retry in 10 s",
        line,
    )
    assert int(re.search(r"([\d,]+) hits", summary)[1].replace(",", "")) > 10_000  # type: ignore[index]
    assert Throughput(target).least_share((calm, began), began, ended) > 0.5


@pytest.mark.parametrize(
    "namespace",
    [
        pytest.param([], id="plain", marks=pytest.mark.takes_long),
        pytest.param(["unshare", "--cgroup"], id="namespace"),
    ],
)
def test_a_quota_of_any_parent_cgroup_applies_as_soon_as_it_is_set(
    namespace: list[str], targets: Path, group: Cgroup
) -> None:
    with Cgroup("inner", group) as inner:
        before = [*inner.starting(), *namespace]
        with (
            mill(newest_jdk, targets, 0, before) as target,
            jcollect("attach", target.pid, "--probe", "*grain__return") as collector,
        ):
            collector.wait_for_line("armed ")
            for outer_cores, cores, percent in (
                (0.6, None, 20),
                (0.6, 0.3, 10),
                (0.12, None, 4),
                (None, 0.3, 10),
                (1.2, None, 40),
            ):
                # Version 1 rejects a quota greater than one above it.
                inner.limit(None)
                group.limit(outer_cores)
                inner.limit(cores)
                wait_until(
                    lambda percent=percent: overhead(target.pid)["max_percent"] == percent,
                    f"the limit to be {percent}%",
                )
            said = run(JCOLLECT, "status", target.pid).stdout
            assert "at most 40% (max-overhead is 50%, and the program can get 1.20 cores)" in said
            finish(collector)
            end(target)


def test_for_a_program_that_is_bound_to_one_cpu_the_available_time_is_one_cpu(targets: Path) -> None:
    with mill(newest_jdk, targets, 0, ["taskset", "-c", "0"]) as target:
        wait_until(lambda: overhead(target.pid)["max_percent"] == 33, "the limit to be a third of a core")
        assert overhead(target.pid)["available_ns"] == SECOND_NS
        end(target)

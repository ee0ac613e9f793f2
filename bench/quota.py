"""Measures a traced program that gets little CPU time: its throughput while a tracer is attached.

A bench of run.py's: `.venv/bin/python bench/run.py quota`, some six minutes on each JDK. The program is the
worst there is, tests/targets/Mill.java: it does nothing but call a method of a nanosecond, whose return probe
is attached to at the default limit. It runs in a cgroup with a CPU quota; jcollect runs outside, on the same
CPUs, and nobody consumes its events.
"""

from __future__ import annotations

import statistics
from typing import Any

from cgroup import Cgroup
from java_target import COMPILER, ROOT, Jdk, Process, finish, java, jcollect, run
from throughput import SECOND_NS, WINDOW_SECONDS, Throughput, work

BUILD = ROOT / "build/bench/quota"
CORES = (0.1, 0.3, 0.6, 1.0, 2.0)
THREADS = (1, 8)
TURNS = 1
WARM_SECONDS = 5
# Undisturbed, and attached: one trial of the throttled method is within. Then until all is compiled anew.
CALM_SECONDS = 6
ATTACHED_SECONDS = 14
AFTER_SECONDS = 5
STARTED_SECONDS = 120.0


def turn(target: Process) -> dict[str, Any]:
    """Undisturbed, attached, undisturbed."""
    calm = work(target, CALM_SECONDS)
    with jcollect("attach", target.pid, "--probe", "*grain__return") as collector:
        collector.wait_for_line("armed |jcollect: warning: throttled")
        work(target, ATTACHED_SECONDS)
        summary = finish(collector)
    began, (_, ended) = calm[1], work(target, AFTER_SECONDS)
    done = Throughput(target)
    usual = done.rounds(*calm) / (calm[1] - calm[0])

    def least(seconds: int) -> float:
        return min(done.rounds(*span) for span in done.spans(began, ended, seconds)) / (
            usual * seconds * SECOND_NS
        )

    return {
        "rounds": usual * WINDOW_SECONDS * SECOND_NS,
        "cores": done.cpu_ns(*calm) / (calm[1] - calm[0]),
        "least": least(WINDOW_SECONDS),
        "least_by_cpu": done.least_share(calm, began, ended),
        "worst_second": least(1),
        "summary": summary,
    }


def mill(jdk: Jdk, cores: float, threads: int, turns: int) -> dict[str, Any]:
    with Cgroup("jprobe-bench") as group:
        group.limit(cores)
        with java(
            jdk,
            "-cp",
            BUILD,
            "Mill",
            str(threads),
            probes="Mill#grain",
            before=group.starting(),
            guarded=True,
        ) as target:
            target.wait_for_line("ready", STARTED_SECONDS)
            work(target, WARM_SECONDS)
            each = [turn(target) for _ in range(turns)]
            target.send("")
            assert target.wait() == 0
    figures = ("rounds", "cores", "least", "least_by_cpu", "worst_second")
    return {
        "quota": cores,
        "threads": threads,
        "turns": each,
        **{figure: statistics.median(one[figure] for one in each) for figure in figures},
    }


def quota(jdk: Jdk, turns: int = TURNS) -> list[dict[str, Any]]:
    BUILD.mkdir(parents=True, exist_ok=True)
    compiled = run(COMPILER.javac, "--release", "11", "-d", BUILD, ROOT / "tests/targets/Mill.java")
    assert compiled.returncode == 0, compiled.stderr
    found = []
    for cores in CORES:
        for threads in THREADS:
            one = mill(jdk, cores, threads, turns)
            found.append(one)
            print(
                f"quota {jdk}: quota {cores} cores, {threads} threads: {one['rounds']:,.0f} rounds in 5 s, "
                f"with {one['cores']:.2f} cores; attached, in any 5 s at least {one['least']:.2f} of that, "
                f"{one['least_by_cpu']:.2f} by CPU time; in a second at least {one['worst_second']:.2f}",
                flush=True,
            )
    return found

"""Measures a traced program that gets little CPU time: its throughput while a tracer is attached.

A bench of bench/run.py: `quota`, about six minutes on each JDK. The program is the worst case,
tests/targets/Mill.java: it only calls a method of 1 ns, whose return probe is attached at the default
overhead limit. It runs in a cgroup with a CPU quota; jcollect runs outside, on the same CPUs, without a
subscriber.
"""

from __future__ import annotations

import statistics

from cgroup import Cgroup
from java_target import COMPILER, ROOT, Jdk, Process, finish, java, jcollect, run
from throughput import SECOND_NS, WINDOW_SECONDS, Throughput, work

BUILD = ROOT / "build/bench/quota"
CORES = (0.1, 0.3, 0.6, 1.0, 2.0)
THREADS = (1, 8)
TURNS = 1
WARM_SECONDS = 5
# Before, while and after the tracer is attached. The throttled method is retried once within
# ATTACHED_SECONDS, and all code is compiled again within AFTER_SECONDS.
CALM_SECONDS = 6
ATTACHED_SECONDS = 14
AFTER_SECONDS = 5
STARTED_SECONDS = 120.0


def turn(target: Process) -> dict[str, float]:
    """Measures the program before, while and after a tracer is attached."""
    calm = work(target, CALM_SECONDS)
    with jcollect("attach", target.pid, "--probe", "*grain__return") as collector:
        collector.wait_for_line("armed |jcollect: warning: throttled")
        work(target, ATTACHED_SECONDS)
        finish(collector)
    began, (_, ended) = calm[1], work(target, AFTER_SECONDS)
    done = Throughput(target)
    usual = done.rounds(*calm) / (calm[1] - calm[0])

    def least(seconds: int) -> float:
        return min(done.rounds(*span) for span in done.spans(began, ended, seconds)) / (
            usual * seconds * SECOND_NS
        )

    return {
        "rounds in 5 s": usual * WINDOW_SECONDS * SECOND_NS,
        "cores": done.cpu_ns(*calm) / (calm[1] - calm[0]),
        "least share in 5 s": least(WINDOW_SECONDS),
        "least share in 5 s, by CPU time": done.least_share(calm, began, ended),
        "least share in 1 s": least(1),
    }


def mill(jdk: Jdk, cores: float, threads: int, turns: int) -> dict[str, float]:
    """Measures `turns` times in one JVM and returns the median of each figure."""
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
    return {figure: statistics.median(one[figure] for one in each) for figure in each[0]}


def quota(jdk: Jdk, turns: int = TURNS) -> dict[str, dict[str, float]]:
    """Measures each quota with one and with eight threads."""
    BUILD.mkdir(parents=True, exist_ok=True)
    compiled = run(COMPILER.javac, "--release", "11", "-d", BUILD, ROOT / "tests/targets/Mill.java")
    assert compiled.returncode == 0, compiled.stderr
    found = {}
    for cores in CORES:
        for threads in THREADS:
            one = mill(jdk, cores, threads, turns)
            found[f"{cores} cores, {threads} threads"] = one
            print(
                f"quota {jdk}: quota {cores} cores, {threads} threads: {one['rounds in 5 s']:,.0f} rounds in "
                f"5 s, with {one['cores']:.2f} cores; attached, in any 5 s at least "
                f"{one['least share in 5 s']:.2f} of that, {one['least share in 5 s, by CPU time']:.2f} by "
                f"CPU time; in any second at least {one['least share in 1 s']:.2f}",
                flush=True,
            )
    return found

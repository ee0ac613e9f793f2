"""Measures what a busy database loses while all of its methods are selected."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from conditions import wait_until
from java_target import H2_JAR, JAR, JCOLLECT, Jdk, Process, java, run
from programs import BUILD, STEADY, WARM_ROUNDS, Measurements, now_ms
from second_agent import agent_jar

TURNS = 3
WINDOW_MS = 5_000.0


def selecting(jdk: Jdk) -> dict[str, Any]:
    """Compares `jcollect select` with a retransformation that changes no class: the usual way to read class
    files. Counts the time that the program loses within five seconds.
    """
    request = BUILD / "again"
    jar = agent_jar("Again", BUILD / "classes", BUILD)

    def select(target: Process) -> None:
        done = run(JCOLLECT, "select", target.pid, "org.h2.**#*", timeout=120)
        assert done.returncode == 0, done.stderr

    def retransform(target: Process) -> None:
        request.touch()
        wait_until(lambda: not request.exists(), "the retransformation", 120)

    variants: dict[str, tuple[list[str], Callable[[Process], None]]] = {
        "jcollect select": ([f"-javaagent:{JAR}=control=on,max-methods=20000"], select),
        "retransformed": ([f"-javaagent:{jar}=org.h2.,{request}"], retransform),
        "nothing": ([], lambda target: None),
    }
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for _ in range(TURNS):
        for variant, (agent, action) in variants.items():
            found[variant].append(disturbed(jdk, agent, action))
    for variant, runs in found.items():
        took, slowest, lost, after = (
            statistics.median(one[what] for one in runs)
            for what in ("took, ms", "slowest round, usual rounds", "lost, ms", "lost after it was done, ms")
        )
        print(
            f"selecting {jdk}: {variant}: took {took:.0f} ms; slowest round {slowest:.2f} usual ones; "
            f"lost {lost:.0f} ms in 5 s, {after:.0f} ms of them after it was done",
            flush=True,
        )
    return found


def disturbed(jdk: Jdk, agent: list[str], action: Callable[[Process], None]) -> dict[str, float]:
    """Measures what an action costs a program that works without pause."""
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    with java(jdk, "-cp", classpath, "Rounds", "sql", WARM_ROUNDS, 0, jvm=[*STEADY, *agent]) as target:
        target.wait_for_line("warm", 300)
        measurements = Measurements(target)
        usual = statistics.median(measurements.next(40)) / 1e6
        start = now_ms()
        action(target)
        took = now_ms() - start
        wait_until(lambda: measurements.all()[-1][0] > start + WINDOW_MS, "five seconds", 60)
        ends = [(end, nanos / 1e6) for end, nanos in measurements.all() if start < end <= start + WINDOW_MS]
        rounds = [took_ms for _, took_ms in ends]
        after = [took_ms for end, took_ms in ends if end - took_ms > start + took]
    return {
        "usual round, ms": usual,
        "took, ms": took,
        "slowest round, usual rounds": max(rounds) / usual,
        "lost, ms": sum(rounds) - usual * len(rounds),
        "lost after it was done, ms": sum(after) - usual * len(after),
        "rounds": len(rounds),
    }

"""Measures how long 20,000 classes of one method take to be armed and restored, and their safepoints, beside
the same classes retransformed by an agent that changes nothing.

A bench of bench/run.py: `many-classes`. HotSpot visits all loaded classes in each safepoint, so the number
of safepoints decides.
"""

from __future__ import annotations

import signal
from operator import itemgetter
from pathlib import Path
from typing import Any

from conditions import wait_until
from java_target import Jdk, Process, java, jcollect
from jcollect.probes.probe import Probe, by_library
from jcollect.probes.scan import scan_traceable
from jcollect.probes.sections import read_states
from jprobe.v1 import probe_pb2
from processes import opened
from programs import BUILD, STEADY, now_ms
from safepoints import safepoints_since
from second_agent import agent_jar

CLASSES = 20_000
SECONDS = 300.0
# Woven methods whose calls do not fire: traps would hide the cost of weaving.
PROBES = "ManyClasses$C*#applyAsInt every 1000000000"


def many_classes(jdk: Jdk) -> dict[str, Any]:
    """Arms all classes twice, and restores them."""
    log = BUILD / f"many-classes-{jdk}.log"
    log.unlink(missing_ok=True)
    found: dict[str, Any] = {}
    options = f"max-methods={CLASSES}"
    steady = [*STEADY, f"-Xlog:safepoint:file={log}:timemillis"]
    with java(
        jdk, "-cp", BUILD / "classes", "ManyClasses", str(CLASSES), probes=PROBES, options=options, jvm=steady
    ) as target:
        target.wait_for_line("ready", SECONDS)
        wait_until(lambda: len(probes_in(target)) == CLASSES, "all probes", SECONDS)
        for turn in ("the first time", "later"):
            found[f"armed {turn}"], collector = armed(target, log)
            found[f"restored {turn}"] = restored(target, collector, log)
    found["retransformed unchanged, by another agent"] = unchanged(jdk, steady, log)
    for what, figures in found.items():
        texts = ", ".join(f"{name} {figure:.0f}" for name, figure in figures.items())
        print(f"many-classes {jdk}: {CLASSES:,} classes {what}: {texts}", flush=True)
    return {"classes": CLASSES, **found}


def unchanged(jdk: Jdk, steady: list[str], log: Path) -> dict[str, float]:
    """Retransforms the same classes without jprobe and without a change: the JVM's share of arming them."""
    log.unlink()
    start_file = BUILD / f"many-classes-{jdk}.start"
    start_file.unlink(missing_ok=True)
    agent = agent_jar("Retransforms", BUILD / "classes", BUILD)
    options = [*steady, f"-javaagent:{agent}={start_file}"]
    with java(jdk, "-cp", BUILD / "classes", "ManyClasses", str(CLASSES), jvm=options) as target:
        target.wait_for_line("ready", SECONDS)
        start = now_ms()
        start_file.touch()
        line = target.wait_for_line("retransformed in", SECONDS)
        stops = safepoints_since(log, start)
    start_file.unlink()
    return {
        "took, ms": float(line.split()[-2]),
        "safepoints": len(stops),
        "longest safepoint, ms": max(stops),
        "all safepoints, ms": sum(stops),
    }


def probes_in(target: Process) -> list[Probe]:
    return scan_traceable(opened(target.pid)).probes(("*__return",))


def armed(target: Process, log: Path) -> tuple[dict[str, float], Process]:
    probes = probes_in(target)
    start = now_ms()
    collector = jcollect(
        "attach", target.pid, "--probe", "*__return", "--max-overhead", 0, "--max-probes", 2 * CLASSES
    )
    return figures(probes, probe_pb2.PROBE_STATE_ARMED, start, log), collector


def restored(target: Process, collector: Process, log: Path) -> dict[str, float]:
    probes = probes_in(target)
    start = now_ms()
    collector.signal(signal.SIGINT)
    found = figures(probes, probe_pb2.PROBE_STATE_DORMANT, start, log)
    assert collector.wait(SECONDS) == 0
    return found


def figures(probes: list[Probe], state: int, start: float, log: Path) -> dict[str, float]:
    """Waits until all probes have the state. The time includes the attaching to or detaching from all."""
    libraries = by_library(probes)
    slots = [[probe.slot.number for probe in each if probe.slot] for _, each in libraries]

    def are_all() -> bool:
        # Reads as little as possible: the two CPUs are needed.
        every = read_states([library for library, _ in libraries])
        return all(set(itemgetter(*own)(found)) == {state} for own, found in zip(slots, every, strict=True))

    wait_until(are_all, "all in the state", SECONDS)
    took = now_ms() - start
    stops = safepoints_since(log, start)
    return {
        "took, ms": took,
        "safepoints": len(stops),
        "longest safepoint, ms": max(stops),
        "all safepoints, ms": sum(stops),
    }

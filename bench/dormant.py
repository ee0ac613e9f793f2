"""Compares the speed of a program with selected, dormant methods to its speed without the agent."""

from __future__ import annotations

import contextlib
import statistics
from typing import Any

from conditions import wait_until
from java_target import Jdk, probes_of
from jcollect.probes.scan import scan_traceable
from processes import opened
from programs import WARM_ROUNDS, work

TRIOS = 7
ROUNDS_IN_TURN = 60


def dormant(jdk: Jdk) -> dict[str, Any]:
    """Measures two programs: 2,000 small methods, and SQL in H2."""
    return {
        "many": dormant_in(jdk, "many", "many.C*#m*", 2_000),
        "sql": dormant_in(jdk, "sql", "org.h2.**#*", 5_000),
    }


def dormant_in(jdk: Jdk, what: str, probes: str, at_least: int) -> dict[str, Any]:
    with work(jdk, what, probes, 1, 0) as target:
        target.wait_for_line("warm")
        wait_until(lambda: len(probes_of(target.pid)) >= 3 * at_least, f"{at_least} methods")
        methods = len({probe.method_key for probe in scan_traceable(opened(target.pid)).probes(())})
    found = compared(methods, [rounds_in_turn(jdk, what, probes) for _ in range(TRIOS)])
    print(
        f"dormant   {jdk}: {what}: {methods:,} methods selected: "
        f"{statistics.median(found['jprobe, ms per round']):.2f} ms per round, no agent "
        f"{statistics.median(found['no agent, ms per round']):.2f} ms: ratio {found['ratio']:.3f} "
        f"(two JVMs without the agent differ by up to {found['greatest difference without agent']:.1%})",
        flush=True,
    )
    return found


def compared(methods: int, trios: list[list[list[float]]]) -> dict[str, Any]:
    # Each JVM counts once, with its median: the rounds of one JVM are not independent.
    plain, control, selected = ([statistics.median(trio[i]) for trio in trios] for i in range(3))
    return {
        "methods": methods,
        "no agent, ms per round": plain + control,
        "jprobe, ms per round": selected,
        "ratio": statistics.median(selected) / statistics.median(plain + control),
        "greatest difference without agent": max(abs(b / a - 1) for a, b in zip(plain, control, strict=True)),
    }


def rounds_in_turn(jdk: Jdk, what: str, probes: str) -> list[list[float]]:
    """Returns the rounds, in ms, of two JVMs without the agent and one with it, which take turns.

    A disturbance of the machine then affects all three. The second JVM without the agent is the control: it
    shows how far two equal JVMs differ, for instance by the order in which methods were compiled.
    """
    rounds: list[list[float]] = [[], [], []]
    with contextlib.ExitStack() as stack:
        targets = []
        for selected in (None, None, probes):
            target = stack.enter_context(work(jdk, what, selected, WARM_ROUNDS, "asked"))
            target.wait_for_line("warm", 300)
            targets.append(target)
        for turn in range(3 * ROUNDS_IN_TURN):
            # Each JVM is first, second and third equally often.
            which = (turn + turn // 3) % 3
            targets[which].send("")
            line = targets[which].wait_for_line(r"\d+ \d+")
            rounds[which].append(float(line.split()[1]) / 1e6)
    return rounds

"""Measures the cost of a captured stack to the program, by depth and in both lanes, beside the JDK's ways.

A bench of bench/run.py: `stacks`, about eight minutes on each JDK. The program is targets/StackDepth.java.
All its stacks have been described before it is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from conditions import wait_until
from java_target import Jdk, java, probes_of
from lanes import lane
from programs import BUILD, Measurements, in_turn

DEPTHS = (10, 50, 150)
WARM_LINES = 8
MEASURED_LINES = 6
# The values of a return probe: a number, and the stack as well.
_ENDS = "when duration >= 0ns"
NUMBER, STACK = f"StackDepth#work(arg0) {_ENDS}", f"StackDepth#work(arg0, stack) {_ENDS}"
FEW = f"StackDepth#work(arg0, stack(16)) {_ENDS}"


def call_ns(
    jdk: Jdk, depth: int, how: str = "nothing", probes: str | None = None, in_lane: str = "direct"
) -> float:
    """Returns the median time of a call in ns."""
    arguments = ("-cp", BUILD / "classes", "StackDepth", str(depth), how)
    with java(jdk, *arguments, probes=probes) as target:
        measurements = Measurements(target)
        measurements.next(WARM_LINES)
        if probes is None:
            return statistics.median(measurements.next(MEASURED_LINES))
        wait_until(lambda: probes_of(target.pid), "its probes")
        with lane(in_lane)(target.pid):
            measurements.next(WARM_LINES)
            return statistics.median(measurements.next(MEASURED_LINES))


def stacks(jdk: Jdk) -> dict[str, Any]:
    """Measures all variants in turn, and prints what the stack adds to each."""
    variants: dict[str, Callable[[], float]] = {}
    for depth in DEPTHS:
        for how, name in (
            ("nothing", "no agent"),
            ("throwable", "new Throwable"),
            ("walker", "StackWalker"),
        ):
            variants[f"{depth} frames, {name}"] = partial(call_ns, jdk, depth, how)
        for in_lane in ("direct", "kernel"):
            passed = [(NUMBER, "a number"), (STACK, "a number and the stack")]
            if depth == DEPTHS[-1] and in_lane == "direct":
                passed.append((FEW, "a number and stack(16)"))
            for probes, name in passed:
                measure = partial(call_ns, jdk, depth, probes=probes, in_lane=in_lane)
                variants[f"{depth} frames, {in_lane} lane, {name}"] = measure
    found: dict[str, Any] = dict(in_turn(jdk, "stacks", variants))
    medians = {variant: statistics.median(times["ns per call"]) for variant, times in found.items()}
    added = {}
    for variant, nanos in medians.items():
        frames, _, what = variant.partition(", ")
        base = f"{frames}, {what.partition(', ')[0]}, a number" if " lane" in what else f"{frames}, no agent"
        if base != variant:
            added[variant] = nanos - medians[base]
    found["ns that the stack adds"] = added
    for variant, nanos in added.items():
        print(f"stacks    {jdk}: {variant}: {nanos:,.0f} ns more", flush=True)
    return found

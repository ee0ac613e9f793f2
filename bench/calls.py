"""Measures one call of a small method: dormant, traced and filtered; and whether the compilers inline it."""

from __future__ import annotations

import contextlib
import re
import signal
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from conditions import wait_until
from java_target import Jdk, attach, java, probes_of
from programs import BUILD, SIZES, Measurements, in_turn

# JEP 520.
METHOD_TIMING_SINCE = 25


def call_ns(jdk: Jdk, probes: str | None, jvm: Sequence[str] = (), probe: str | None = None) -> float:
    """Returns the median time of a call of Calls.add in ns, with a tracer attached if `probe` is given."""
    with java(jdk, "-cp", BUILD / "classes", "Calls", 0, probes=probes, jvm=jvm) as target:
        measurements = Measurements(target)
        measurements.next(20)
        if not probe:
            return statistics.median(measurements.next(40))
        wait_until(lambda: probes_of(target.pid), "its probes")
        with attach(target.pid, "--probe", probe) as collector:
            measurements.next(20)
            times = measurements.next(60)
            collector.signal(signal.SIGINT)
            assert collector.wait() == 0
        return statistics.median(times)


def calls(jdk: Jdk) -> dict[str, Any]:
    """Measures a method that adds two ints, dormant and traced, beside HotSpot's own method probes."""
    variants: dict[str, Callable[[], float]] = {
        "no agent": lambda: call_ns(jdk, None),
        "jprobe, dormant": lambda: call_ns(jdk, "Calls#add"),
        "-XX:+DTraceMethodProbes, no tracer": lambda: call_ns(jdk, None, ["-XX:+DTraceMethodProbes"]),
        "jprobe, return attached": lambda: call_ns(jdk, "Calls#add", probe="*:add__return"),
        "jprobe, entry and return attached": lambda: call_ns(jdk, "Calls#add", probe="*:add__*"),
    }
    return in_turn(jdk, "calls", variants)


def filtered(jdk: Jdk) -> dict[str, Any]:
    """Measures the same method with its return and throw probes attached and almost all calls filtered.

    Compares it, on JDKs that have them, with the JDK's event that only times and counts, and with its event
    with a threshold that no call reaches.
    """

    def with_condition(condition: str) -> Callable[[], float]:
        return lambda: call_ns(jdk, f"Calls#add {condition}", probe="*:add__[rt]*")

    def recorded(*settings: str) -> Callable[[], float]:
        file = f"filename={BUILD / 'recording.jfr'}"
        return lambda: call_ns(jdk, None, [f"-XX:StartFlightRecording:{','.join((file, *settings))}"])

    variants: dict[str, Callable[[], float]] = {
        "no agent": lambda: call_ns(jdk, None),
        "jprobe, when duration > 1s": with_condition("when duration > 1s"),
        "jprobe, every 1000000": with_condition("every 1000000"),
        "jprobe, when arg1 < 0": with_condition("when arg1 < 0"),
    }
    if jdk.version >= METHOD_TIMING_SINCE:
        variants["JFR jdk.MethodTiming"] = recorded("method-timing=Calls::add")
        variants["JFR jdk.MethodTrace, threshold 1 s"] = recorded(
            "jdk.MethodTrace#enabled=true",
            "jdk.MethodTrace#filter=Calls::add",
            "jdk.MethodTrace#threshold=1s",
        )
    return in_turn(jdk, "filtered", variants)


def inlining(jdk: Jdk) -> dict[str, Any]:
    """Reports whether HotSpot's compilers inline methods of several sizes, unwoven and woven."""
    found = {}
    for what, condition in (("unwoven", None), ("woven", "when duration > 1s")):
        found[what] = inlined(jdk, condition)
    for size in SIZES:
        print(
            f"inlining  {jdk}: a hot method of {size} bytes: "
            + "; ".join(
                f"{what}: " + ", ".join(f"{key} {said}" for key, said in found[what][str(size)].items())
                for what in found
            ),
            flush=True,
        )
    return found


def inlined(jdk: Jdk, condition: str | None) -> dict[str, dict[str, str]]:
    """Returns both compilers' verdicts on each method, by its unwoven size in bytes."""
    options = ["-XX:+UnlockDiagnosticVMOptions", "-XX:+PrintCompilation", "-XX:+PrintInlining"]
    probes = f"sizes.Sizes#size* {condition}" if condition else None
    with java(jdk, "-cp", BUILD / "classes", "sizes.Sizes", probes=probes, jvm=options) as target:
        target.wait_for_line("ready")
        with contextlib.ExitStack() as stack:
            if probes:
                wait_until(lambda: len(probes_of(target.pid)) == 2 * len(SIZES), "its probes")
                stack.enter_context(attach(target.pid))
            target.send("run")
            target.wait_for_line("done", 120)
            target.send("exit")
            assert target.wait() == 0
    verdicts: dict[str, dict[str, str]] = {}
    for line in target.out:
        verdict = re.search(r"@ \d+\s+sizes\.Sizes::size(\d+) \((\d+) bytes\)\s+(.*\S)", line)
        if verdict:
            # Only C1 prints just "inline" or "callee is too large".
            by_c1 = verdict[3] == "inline" or "callee is too large" in verdict[3]
            of_size = verdicts.setdefault(verdict[1], {"bytes": verdict[2]})
            of_size["C1" if by_c1 else "C2"] = verdict[3].removeprefix("failed to inline: ")
    return verdicts

"""Repeats the measurement that this project grew from: HotSpot's own method probes, beside jprobe.

A bench of bench/run.py: `seed`, about four minutes on each JDK. The program is targets/Seed.java. HotSpot's
probes fire in all methods of the JVM; jprobe's in the one that is selected.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from conditions import wait_until
from java_target import Jdk, Process, end_bpftrace, java, probes_of
from lanes import Attached, counted, lane
from programs import BUILD, Measurements, in_turn

# Lines of 0.2 s each: until all code is compiled, and those that are measured.
WARM_LINES = 5
MEASURED_LINES = 10
NONE, NOBODY = "no probes", "-XX:+DTraceMethodProbes, nobody attached"
EMPTY, TIMED = "-XX:+DTraceMethodProbes, empty handler", "-XX:+DTraceMethodProbes, time in function"
# The first measurement: ns of the whole program, which is not known, on a JDK 14 that was built for it.
ORIGINAL = {NONE: 199_116_894, NOBODY: 1_870_668_205, EMPTY: 1_866_669_778, TIMED: 1_872_818_842}

EMPTY_SCRIPT = "usdt:{jvm}:hotspot:method__entry {{ }} usdt:{jvm}:hotspot:method__return {{ }}"
TIMED_SCRIPT = """
usdt:{jvm}:hotspot:method__entry {{ @begin[tid] = nsecs; }}
usdt:{jvm}:hotspot:method__return /@begin[tid]/ {{
  @time = @time + nsecs - @begin[tid]; delete(@begin[tid]);
}}
"""


def call_ns(
    jdk: Jdk, jvm: Sequence[str] = (), attached: Attached | None = None, agent: bool = False
) -> float:
    """Returns the median time of a call in ns."""
    probes = "Seed#fib" if agent else None
    options = "control=on" if agent else ""
    with java(jdk, "-cp", BUILD / "classes", "Seed", probes=probes, options=options, jvm=jvm) as target:
        measurements = Measurements(target)
        measurements.next(WARM_LINES)
        if agent:
            wait_until(lambda: probes_of(target.pid), "its probes")
        with attached(target.pid) if attached else contextlib.nullcontext():
            measurements.next(WARM_LINES)
            return statistics.median(measurements.next(MEASURED_LINES))


def handled(jdk: Jdk, script: str) -> Attached:
    """Returns what attaches a script of bpftrace to HotSpot's probes."""
    text = script.format(jvm=jdk.home / "lib/server/libjvm.so")

    @contextlib.contextmanager
    def attached(pid: int) -> Iterator[None]:
        with Process(["bpftrace", "-p", str(pid), "-e", text]) as tracer:
            tracer.wait_for_line("Attaching 2 probes")
            yield
            end_bpftrace(tracer)

    return attached


def seed(jdk: Jdk) -> dict[str, Any]:
    """Measures all variants in turn, and prints their ratios to no probes."""
    dtrace = ["-XX:+DTraceMethodProbes"]
    variants: dict[str, Callable[[], float]] = {
        NONE: lambda: call_ns(jdk),
        NOBODY: lambda: call_ns(jdk, dtrace),
        EMPTY: lambda: call_ns(jdk, dtrace, handled(jdk, EMPTY_SCRIPT)),
        TIMED: lambda: call_ns(jdk, dtrace, handled(jdk, TIMED_SCRIPT)),
        "jprobe, dormant": lambda: call_ns(jdk, agent=True),
        "jprobe, kernel lane": lambda: call_ns(jdk, attached=lane("kernel"), agent=True),
        "jprobe, direct lane": lambda: call_ns(jdk, attached=lane("direct"), agent=True),
        "jprobe, histogram": lambda: call_ns(jdk, attached=counted, agent=True),
    }
    found: dict[str, Any] = dict(in_turn(jdk, "seed", variants))
    medians = {variant: statistics.median(times["ns per call"]) for variant, times in found.items()}
    found["times no probes"] = {variant: ns / medians[NONE] for variant, ns in medians.items()}
    for variant, ratio in found["times no probes"].items():
        first = (
            f" (first measurement {ORIGINAL[variant] / ORIGINAL[NONE]:.1f})" if variant in ORIGINAL else ""
        )
        print(f"seed      {jdk}: {variant}: {ratio:.1f} times no probes{first}", flush=True)
    return found

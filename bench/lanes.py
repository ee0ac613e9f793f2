"""Measures a call in each lane, in ns of the calling thread's CPU time, beside two clock readings around it.

A bench of bench/run.py: `lanes`, about five minutes on each JDK. The program is targets/Lanes.java. It calls
in bursts, so that no reader falls behind: the cost of an event that is lost would be another one.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import peers
from calls import METHOD_TIMING_SINCE
from conditions import wait_until
from java_target import Jdk, attach, finish, java, probes_of, states_of
from jcollect.probes.live import read_live
from jcollect.probes.overhead import Overhead, find_guarded, read_overhead
from jcollect.probes.scan import scan_traceable
from leased import leased_counts
from processes import opened
from programs import BUILD, Measurements, in_turn

# Lines of 0.2 s each: until all code is compiled, and those that are measured.
WARM_LINES = 6
MEASURED_LINES = 12
# One in so many events may be lost.
MOST_LOST = 1000

TIMED, TIMED_TWICE = "two clock readings", "two clock readings, two threads"
IN_C = "C, two clock readings"
DORMANT = "jprobe, dormant"
EVENT, EVENT_TWICE = "jprobe, direct, a number", "jprobe, direct, a number, two threads"
COUNT, TEXT = "jprobe, histogram only", "jprobe, direct, a string of 24 bytes"
TRAP = "jprobe, kernel, a number"
TIMING, TRACE = "JFR jdk.MethodTiming", "JFR jdk.MethodTrace"
TRACE_WITHOUT_STACK = "JFR jdk.MethodTrace without stack"
BTRACE, BYTEMAN = "BTrace, sum of durations", "Byteman, counting"
LTTNG, LTTNG_OFF = "C, LTTng-ust, a number", "C, LTTng-ust, no session"
# Maximum ratio to two clock readings; with two threads, to one.
GOALS = {EVENT: 1.25, COUNT: 1.15, TEXT: 2.0, EVENT_TWICE: 1.3}

# BTrace 2.2.6 needs sun.security.action, which later JDKs lack: it traces nothing there, without a message.
BTRACE_UNTIL = 23
# A traced call takes longer than this, an untraced one less.
LEAST_TRACED_NS = 5

# The rate of calls that the guard must not throttle while they are only counted.
RATE, RATE_SECONDS = 4_000_000, 10
# Rounds of other work beside each call. By default, probes may use 5% of a core, and beyond that a third of
# the program's CPU time: a program that does nothing but call is throttled.
RATED = {"nothing but calls": 0, "a program at work": 76}

Attached = Callable[[int], AbstractContextManager[None]]


def call_ns(
    jdk: Jdk,
    what: str = "add",
    threads: int = 1,
    jvm: Sequence[str] = (),
    attached: Attached | None = None,
    is_traced: bool = False,
) -> float:
    """Returns the median time of a call in ns of CPU time: what it calls, see Lanes.java."""
    probes = f"Lanes#{'text' if what == 'text' else 'add'}" if attached or is_traced else None
    options = "control=on" if probes else ""
    command = ("-cp", BUILD / "classes", "Lanes", what, threads)
    with java(jdk, *command, probes=probes, options=options, jvm=jvm) as target:
        measurements = Measurements(target)
        measurements.next(WARM_LINES)
        if attached is None:
            return statistics.median(measurements.next(MEASURED_LINES))
        wait_until(lambda: probes_of(target.pid), "its probes")
        with attached(target.pid):
            measurements.next(WARM_LINES)
            return statistics.median(measurements.next(MEASURED_LINES))


def lane(name: str) -> Attached:
    """Returns what attaches to the return probe by that lane."""

    @contextlib.contextmanager
    def attached(pid: int) -> Iterator[None]:
        with attach(pid, "--lane", name, "--probe", "*__return") as collector:
            yield
            counts = finish(collector)
        hits, lost = (
            int(found[1].replace(",", ""))
            for pattern in (r"([\d,]+) hits = ", r"\+ ([\d,]+) lost")
            if (found := re.search(pattern, counts))
        )
        assert hits > 0, counts
        assert lost * MOST_LOST <= hits, counts

    return attached


@contextlib.contextmanager
def counted(pid: int) -> Iterator[None]:
    """Has all calls counted in histograms, and nothing else."""
    with leased_counts(opened(pid)) as counts:
        wait_until(lambda: states_of(pid)["armed"], "its probes to be armed")
        yield
        assert sum(counts.read().values()), "no call was counted"


def recorded(*settings: str) -> list[str]:
    file = f"filename={BUILD / 'recording.jfr'}"
    return [f"-XX:StartFlightRecording:{','.join((file, *settings))}"]


def lanes(jdk: Jdk) -> dict[str, Any]:
    """Measures all lanes and peers in turn, and then whether counting is throttled."""
    peers.prepare()
    variants: dict[str, Callable[[], float]] = {
        "untraced": lambda: call_ns(jdk),
        TIMED: lambda: call_ns(jdk, "timed"),
        TIMED_TWICE: lambda: call_ns(jdk, "timed", 2),
        DORMANT: lambda: call_ns(jdk, is_traced=True),
        EVENT: lambda: call_ns(jdk, attached=lane("direct")),
        EVENT_TWICE: lambda: call_ns(jdk, threads=2, attached=lane("direct")),
        COUNT: lambda: call_ns(jdk, attached=counted),
        TEXT: lambda: call_ns(jdk, "text", attached=lane("direct")),
        TRAP: lambda: call_ns(jdk, attached=lane("kernel")),
        BYTEMAN: lambda: call_ns(jdk, jvm=peers.byteman()),
        IN_C: lambda: peers.c_call_ns("timed"),
        LTTNG_OFF: lambda: peers.c_call_ns("traced"),
        LTTNG: peers.lttng_call_ns,
    }
    if jdk.version <= BTRACE_UNTIL:
        variants[BTRACE] = lambda: call_ns(jdk, jvm=peers.btrace())
    if jdk.version >= METHOD_TIMING_SINCE:
        trace = ("jdk.MethodTrace#enabled=true", "jdk.MethodTrace#filter=Lanes::add")
        every = (*trace, "jdk.MethodTrace#threshold=0ns")
        variants[TIMING] = lambda: call_ns(jdk, jvm=recorded("method-timing=Lanes::add"))
        variants[TRACE] = lambda: call_ns(jdk, jvm=recorded(*every))
        without = (*every, "jdk.MethodTrace#stackTrace=false")
        variants[TRACE_WITHOUT_STACK] = lambda: call_ns(jdk, jvm=recorded(*without))
    found: dict[str, Any] = dict(in_turn(jdk, "lanes", variants))
    found["ratio"] = ratios(jdk, found)
    found["counted at 4 M calls/s"] = {name: counted_at_a_rate(jdk, name) for name in RATED}
    return found


def ratios(jdk: Jdk, found: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Returns each variant's ratio to the two clock readings of its language, and of two threads to one."""
    medians = {variant: statistics.median(times["ns per call"]) for variant, times in found.items()}
    units = {variant: IN_C if variant.startswith("C, ") else TIMED for variant in found}
    units[EVENT_TWICE] = EVENT
    untraced = [name for name, ns in medians.items() if ns < LEAST_TRACED_NS]
    assert set(untraced) <= {"untraced", DORMANT}, f"these do not trace: {untraced}"
    taken = {variant: medians[variant] / medians[unit] for variant, unit in units.items()}
    for variant, ratio in taken.items():
        goal = f" (goal {GOALS[variant]:g})" if variant in GOALS else ""
        print(f"lanes     {jdk}: {variant}: {ratio:.2f} times {units[variant]}{goal}", flush=True)
    return taken


def counted_at_a_rate(jdk: Jdk, name: str) -> dict[str, float]:
    """Counts calls in histograms at a high rate, with the default overhead limit. The agent lowers the limit
    while the program gets little CPU time: see the lowest one.
    """
    command = ("-cp", BUILD / "classes", "Lanes", "rate", RATED[name])
    with java(jdk, *command, probes="Lanes#add", options="control=on", guarded=True) as target:
        target.wait_for_line("ready")
        wait_until(lambda: probes_of(target.pid), "its probes")
        found = scan_traceable(opened(target.pid))
        guarded = find_guarded(found.libraries)
        assert guarded is not None
        with leased_counts(opened(target.pid)) as counts:
            wait_until(lambda: states_of(target.pid)["armed"], "its probes to be armed")
            target.send(f"{RATE} {RATE_SECONDS}")
            overheads: list[Overhead] = []

            def has_made() -> bool:
                overheads.append(read_overhead(guarded))
                time.sleep(0.1)
                return any(line.startswith("made ") for line in list(target.out))

            wait_until(has_made, "its calls", 3 * RATE_SECONDS)
            made, seconds = target.wait_for_line("made ").split()[1:]
            calls = sum(counts.read().values())
            live = read_live(found.every)
    one = {
        "calls per second": int(made) / float(seconds),
        "calls": int(made),
        "counted": calls,
        "throttled, s": max(probe.suppressed.throttled_ns for probe in live) / 1e9,
        "cost, percent of a core": max(overhead.percent for overhead in overheads),
        "lowest limit, percent of a core": min(overhead.max_percent_now for overhead in overheads),
    }
    print(
        f"lanes     {jdk}: {name}, {one['calls per second'] / 1e6:.2f} M calls/s, default limit: "
        f"{calls:,} of {int(made):,} calls counted, throttled for {one['throttled, s']:.1f} s; cost "
        f"{one['cost, percent of a core']:.1f}% of a core, limit at the lowest "
        f"{one['lowest limit, percent of a core']:.1f}%",
        flush=True,
    )
    return one

"""Measures arming and restoring many methods, and the recovery of a program whose collector was killed."""

from __future__ import annotations

import re
import signal
import statistics
from typing import Any

from conditions import wait_until
from java_target import Jdk, Process, attach, java, wait_for_probes
from jcollect.probes.scan import scan_traceable
from processes import opened
from programs import (
    BUILD,
    CLASSES,
    METHODS_PER_CLASS,
    WARM_ROUNDS,
    Measurements,
    now_ms,
    wait_until_restored,
    work,
)


def attach_many(jdk: Jdk) -> dict[str, Any]:
    """Measures the arming of 2,000 methods with 6,000 probes, and their restoring after Ctrl-C."""
    first_ms, later_ms, exited_ms, restored_ms = [], [], [], []
    for _ in range(3):
        with work(jdk, "many", "many.C*#m*", 1, "asked") as target:
            target.wait_for_line("warm")
            wait_for_probes(target.pid, 3 * CLASSES * METHODS_PER_CLASS)
            probes = scan_traceable(opened(target.pid)).probes(())
            for attempt in range(4):
                with attach(target.pid) as collector:
                    armed = re.match(r"armed 6,000 probes of 2,000 methods in (\d+) ms", collector.err[-1])
                    assert armed, collector.err
                    (later_ms if attempt else first_ms).append(float(armed[1]))
                    start = now_ms()
                    collector.signal(signal.SIGINT)
                    restored_ms.append(wait_until_restored(probes)[1] - start)
                    assert collector.wait() == 0
                    exited_ms.append(now_ms() - start)
    print(
        f"attach    {jdk}: 2,000 methods, 6,000 probes: armed in {statistics.median(first_ms):.0f} ms the "
        f"first time, {statistics.median(later_ms):.0f} ms later; after Ctrl-C all restored in "
        f"{statistics.median(restored_ms):.0f} ms, jcollect exited in {statistics.median(exited_ms):.0f} ms",
        flush=True,
    )
    return {
        "armed the first time, ms": first_ms,
        "armed later, ms": later_ms,
        "restored, ms": restored_ms,
        "jcollect exited, ms": exited_ms,
    }


def recover(jdk: Jdk, what: str, target: Process, attached_rounds: int) -> dict[str, Any]:
    """Kills a collector that is attached to all returns, and measures the program's recovery."""
    probes = scan_traceable(opened(target.pid)).probes(("*__return",))
    measurements = Measurements(target)
    before = measurements.next(60)
    with attach(target.pid, "--probe", "*__return") as collector:
        attached = measurements.next(attached_rounds)
        killed = now_ms()
        collector.signal(signal.SIGKILL)
        at_zero, restored = wait_until_restored(probes)
    usual = statistics.median(before)
    recovered = wait_until(lambda: first_usual(measurements.all(), killed, usual), "recovery", 120)
    after = measurements.next(60)
    ratio = statistics.median(after) / usual
    print(
        f"recovery  {jdk}: {what}, attached {statistics.median(attached) / usual:.0f} times slower; after "
        f"kill -9: semaphores 0 in {at_zero - killed:.0f} ms, methods restored in "
        f"{restored - killed:.0f} ms, usual speed in {recovered - killed:.0f} ms; then ratio {ratio:.3f}",
        flush=True,
    )
    return {
        "before, ns": before,
        "attached, ns": attached,
        "after, ns": after,
        "semaphores at 0, ms": at_zero - killed,
        "restored, ms": restored - killed,
        "usual speed, ms": recovered - killed,
        "ratio after to before": ratio,
    }


def first_usual(measured: list[tuple[float, float]], since: float, usual: float) -> float | None:
    """Returns the first time after `since` with a median of three measurements within 10% of `usual`."""
    later = [one for one in measured if one[0] > since]
    for three in zip(later, later[1:], later[2:], strict=False):
        if statistics.median(value for _, value in three) < 1.1 * usual:
            return three[0][0]
    return None


def recovery(jdk: Jdk) -> dict[str, Any]:
    """Measures a program before a collector attaches, while it is attached, and after its kill -9."""
    with java(jdk, "-cp", BUILD / "classes", "Calls", 0, probes="Calls#add") as target:
        wait_for_probes(target.pid, 3)
        Measurements(target).next(40)
        one = recover(jdk, "one method, called without pause", target, 40)
    with work(jdk, "sql", "org.h2.mvstore.**#*", WARM_ROUNDS, 0) as target:
        target.wait_for_line("warm", 120)
        methods = len(scan_traceable(opened(target.pid)).probes(("*__return",)))
        many = recover(jdk, f"SQL with {methods:,} methods woven", target, 3)
    return {"one method": one, "many methods": {"methods": methods, **many}}

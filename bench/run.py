"""What jprobe costs, side by side with doing without, in one run on one machine.

    make bench                                  all of it, about six minutes
    .venv/bin/python bench/run.py dormant       one of: dormant, peers, attach, recovery

Each figure is a median, and each claim a ratio of medians of runs that took turns. Everything that
was measured is kept in bench/results/, one JSON file a run.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conditions import wait_until  # noqa: E402
from java_target import H2_JAR, JDKS, Jdk, attach, java, probes_of, run, wait_for_probes  # noqa: E402

BUILD = ROOT / "build/bench"
CLASSES = 50
METHODS_A_CLASS = 40


def compile_all() -> None:
    """The targets, and a program of exactly 2,000 methods."""
    sources = BUILD / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for number in range(CLASSES):
        methods = "\n".join(
            f"  static long m{i}(long a, int b) {{ return a * {i + 3} + b; }}" for i in range(METHODS_A_CLASS)
        )
        (sources / f"C{number}.java").write_text(f"package many;\nclass C{number} {{\n{methods}\n}}\n")
    calls = "\n".join(f"      sum += C{c}.m{m}(sum, {m});" for c in range(CLASSES) for m in (0, 7, 21))
    (sources / "Many.java").write_text(
        "package many;\npublic class Many {\n  public static void main(String[] a) throws Exception {\n"
        '    long sum = 0;\n    System.out.println("ready");\n    while (true) {\n'
        f"{calls}\n      Thread.sleep(10);\n    }}\n  }}\n}}\n"
    )
    files = [*sorted((ROOT / "bench/targets").glob("*.java")), *sorted(sources.glob("*.java"))]
    compiler = next(jdk for jdk in JDKS if Path(jdk.javac).exists())
    done = run(compiler.javac, "--release", "11", "-d", BUILD / "classes", *files)
    assert done.returncode == 0, done.stderr


def numbers(lines: Sequence[str]) -> list[float]:
    return [float(line) for line in lines if re.match(r"[\d.]+$", line)]


def h2_round_ms(jdk: Jdk, probes: str | None) -> float:
    """Median milliseconds of a round of SQL, in a JVM of its own."""
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    with java(jdk, "-cp", classpath, "H2Work", 20, 25, probes=probes) as target:
        assert target.wait(120) == 0, target.err
        return statistics.median(numbers(target.out)) / 1e6


def dormant(jdk: Jdk) -> dict[str, Any]:
    """2,000 and more selected dormant methods against no agent: SQL rounds, runs taking turns."""
    probes = "org.h2.**#*"
    without, selected = [], []
    for _ in range(9):
        without.append(h2_round_ms(jdk, None))
        selected.append(h2_round_ms(jdk, probes))
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    with java(jdk, "-cp", classpath, "H2Work", 1, 0, probes=probes) as target:
        target.wait_for_line("warm")
        methods = len({(p["class"], p["method"], p["descriptor"]) for p in probes_of(target.pid)})
    ratio = statistics.median(selected) / statistics.median(without)
    print(
        f"dormant   {jdk}: {methods:,} methods selected: {statistics.median(selected):.1f} ms a round, "
        f"no agent {statistics.median(without):.1f} ms: ratio {ratio:.3f}"
    )
    return {"methods": methods, "without_ms": without, "selected_ms": selected, "ratio": ratio}


def call_ns(jdk: Jdk, probes: str | None, jvm: Sequence[str] = (), probe: str | None = None) -> float:
    """Median nanoseconds of a call of Calls.add, attached to `probe` or to nothing."""
    lines = 0 if probe else 20
    with java(jdk, "-cp", BUILD / "classes", "Calls", lines, probes=probes, jvm=jvm) as target:
        if not probe:
            assert target.wait(60) == 0, target.err
            return statistics.median(numbers(target.out)[5:])
        wait_for_probes(target.pid, 3)
        with attach(target.pid, "--probe", probe) as collector:
            before = len(target.out)
            wait_until(lambda: len(target.out) > before + 25, "25 lines while attached")
            times = numbers(target.out)[before + 5 :]
            collector.signal(signal.SIGINT)
            assert collector.wait() == 0
        return statistics.median(times)


def peers(jdk: Jdk) -> dict[str, Any]:
    """A method that adds two ints: ns a call, dormant and traced, beside HotSpot's own probes."""
    ways: dict[str, Callable[[], float]] = {
        "no agent": lambda: call_ns(jdk, None),
        "jprobe, dormant": lambda: call_ns(jdk, "Calls#add"),
        "-XX:+DTraceMethodProbes, nobody attached": lambda: call_ns(jdk, None, ["-XX:+DTraceMethodProbes"]),
        "jprobe, return attached": lambda: call_ns(jdk, "Calls#add", probe="*:add__return"),
        "jprobe, entry and return attached": lambda: call_ns(jdk, "Calls#add", probe="*:add__*"),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(5):
        for way, measure in ways.items():
            times[way].append(measure())
    for way, taken in times.items():
        print(f"call      {jdk}: {way}: {statistics.median(taken):.1f} ns")
    return times


def attach_many(jdk: Jdk) -> dict[str, Any]:
    """2,000 methods, 6,000 probes: from linking to all armed, and from Ctrl-C to all restored."""
    arm_ms, detach_ms, restored_ms = [], [], []
    with java(jdk, "-cp", BUILD / "classes", "many.Many", probes="many.C*#m*") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * CLASSES * METHODS_A_CLASS)
        for _ in range(7):
            with attach(target.pid) as collector:
                armed = re.match(r"armed 6,?000 probes of 2,?000 methods in ([\d,.]+) ms", collector.err[-1])
                assert armed, collector.err
                arm_ms.append(float(armed[1].replace(",", "")))
                start = time.monotonic()
                collector.signal(signal.SIGINT)
                assert collector.wait() == 0
                detach_ms.append(1e3 * (time.monotonic() - start))
                wait_until(lambda: all(p["state"] == "dormant" for p in probes_of(target.pid)), "all dormant")
                restored_ms.append(1e3 * (time.monotonic() - start))
    print(
        f"attach    {jdk}: 2,000 methods, 6,000 probes: armed in {arm_ms[0]:.0f} ms the first time, "
        f"{statistics.median(arm_ms):.0f} ms in the median; jcollect gone after "
        f"{statistics.median(detach_ms):.0f} ms"
    )
    return {"arm_ms": arm_ms, "detach_ms": detach_ms, "restored_within_ms": restored_ms}


def recovery(jdk: Jdk) -> dict[str, Any]:
    """Throughput before a collector, under it, and after its kill -9: SQL rounds of one JVM."""
    rounds: dict[str, list[float]] = {"before": [], "attached": [], "after": []}
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    with java(jdk, "-cp", classpath, "H2Work", 20, 0, probes="org.h2.mvstore.**#*") as target:
        target.wait_for_line("warm", 120)

        def measure(phase: str, count: int) -> None:
            start = len(numbers(target.out))
            wait_until(lambda: len(numbers(target.out)) > start + count, f"{count} rounds {phase}", 120)
            rounds[phase] += [nanos / 1e6 for nanos in numbers(target.out)[start + 1 : start + count]]

        measure("before", 40)
        with attach(target.pid, "--probe", "*__return") as collector:
            measure("attached", 3)
            collector.signal(signal.SIGKILL)
            collector.wait()
            killed = time.monotonic()
            wait_until(lambda: all(p["state"] == "dormant" for p in probes_of(target.pid)), "all dormant")
            dormant_ms = 1e3 * (time.monotonic() - killed)
        measure("after", 40)
    medians = {phase: statistics.median(taken) for phase, taken in rounds.items()}
    print(
        f"recovery  {jdk}: a round before {medians['before']:.1f} ms, attached "
        f"{medians['attached']:.0f} ms, after kill -9 {medians['after']:.1f} ms: ratio "
        f"{medians['after'] / medians['before']:.3f}; all dormant after {dormant_ms:.0f} ms at most"
    )
    return {"rounds_ms": rounds, "dormant_within_ms": dormant_ms}


BENCHES = {"dormant": dormant, "peers": peers, "attach": attach_many, "recovery": recovery}


def main() -> None:
    wanted = sys.argv[1:] or list(BENCHES)
    if unknown := set(wanted) - set(BENCHES):
        sys.exit(f"bench: there is no {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    compile_all()
    started = datetime.now(UTC)
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    results: dict[str, Any] = {
        "started": started.isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
    }
    for jdk in JDKS:
        results[str(jdk)] = {name: BENCHES[name](jdk) for name in wanted}
    file = ROOT / "bench/results" / f"{started:%Y-%m-%dT%H%M%S}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"raw numbers: {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

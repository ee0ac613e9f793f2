"""Measures the agent's cost while no tracer is attached: startup time, memory, and the watcher's CPU.

A bench of bench/run.py: `startup`, about three minutes on each JDK.
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conditions import wait_until
from java_target import H2_JAR, JAR, ROOT, Jdk, java, probes_of, run, wait_for_probes
from second_agent import agent_jar

BUILD = ROOT / "build/bench"
CLASSES = BUILD / "classes"
METHODS = "many.C*#m*"
PROBES = 6_000
# About 10,000 probes of H2.
WATCHED = "org.h2.command.**#*;org.h2.mvstore.**#*;org.h2.value.Value*#*"
START_TURNS = 15
ARCHIVE_TURNS = 7
MEMORY_TURNS = 3
# Long enough for all one-time work, such as the agent's first weaving for practice.
SETTLING_SECONDS = 3.0
# The watcher polls less often once no tracer has been attached for ten seconds.
CALMING_SECONDS = 12.0
WATCHED_SECONDS = 30.0
# Starts H2 and executes one query.
QUERY = ["-cp", str(H2_JAR), "org.h2.tools.Shell", "-url", "jdbc:h2:mem:", "-sql", "select 6 * 7"]

Variants = dict[str, list[str]]


def agents(selectors: str) -> Variants:
    """Returns JVM options for no agent, two agents for comparison, and jprobe."""
    idle = agent_jar("Idle", CLASSES, BUILD)
    return {
        "no agent": [],
        "an agent that does nothing": [f"-javaagent:{idle}"],
        "one with a class transformer": [f"-javaagent:{idle}=listening"],
        "jprobe": [f"-javaagent:{JAR}=probes={selectors},max-methods=20000"],
    }


def in_turn(turns: int, variants: Variants, measure: Callable[[list[str]], Any]) -> dict[str, list[Any]]:
    """Measures all variants in turn, `turns` times, so that a change of the machine affects all of them."""
    found: dict[str, list[Any]] = {variant: [] for variant in variants}
    for _ in range(turns):
        for variant, options in variants.items():
            found[variant].append(measure(options))
    return found


def cpu_ms(pid: int) -> float:
    """Returns the CPU time of the thread that runs main, in ms.

    It says more than the clock on a busy machine, and excludes the compiler threads, which run beside main.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(nanoseconds(task) for task in tasks if (task / "comm").read_text() == "java\n") / 1e6


def nanoseconds(task: Path) -> int:
    return int((task / "schedstat").read_text().split()[0])


def beginning(jdk: Jdk) -> dict[str, Any]:
    """Measures the time from the start of the process to main, and until all methods are loaded."""

    def begin(options: list[str]) -> dict[str, float]:
        since = time.perf_counter()
        taken = {}
        with java(jdk, "-cp", CLASSES, "Begins", jvm=options) as target:
            for line, what in (("begun", "to main"), ("loaded", "to 2,000 methods loaded")):
                target.wait_for_line(line)
                taken[f"{what}, ms"] = 1e3 * (time.perf_counter() - since)
                taken[f"{what}, CPU ms"] = cpu_ms(target.pid)
            target.finish_input()
            assert target.wait() == 0
        return taken

    found = in_turn(START_TURNS, agents(METHODS), begin)
    more = added(found)
    for what in found["no agent"][0]:
        plain = statistics.median(one[what] for one in found["no agent"])
        adds = "; ".join(f"{variant} {figures[what]:+.0f}" for variant, figures in more.items())
        print(f"startup   {jdk}: {what}: no agent {plain:.0f}; {adds}", flush=True)
    return {**found, "added": more}


def added(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Returns what each agent adds to the medians without an agent."""

    def median(variant: str, what: str) -> float:
        return statistics.median(one[what] for one in found[variant])

    return {
        variant: {what: median(variant, what) - median("no agent", what) for what in runs[0]}
        for variant, runs in found.items()
        if variant != "no agent"
    }


def with_archive(jdk: Jdk) -> dict[str, dict[str, list[float]]]:
    """Measures a query of H2, from process start to exit, with and without an AppCDS archive."""
    archive = BUILD / f"h2-{jdk}.jsa"
    done = run(jdk.java, f"-XX:ArchiveClassesAtExit={archive}", *QUERY, timeout=120)
    assert done.returncode == 0, done.stderr

    def query(options: list[str]) -> float:
        since = time.perf_counter()
        with java(jdk, *QUERY, jvm=options) as target:
            # A wait with a deadline polls every 50 ms only.
            os.waitid(os.P_PID, target.pid, os.WEXITED | os.WNOWAIT)
            took = 1e3 * (time.perf_counter() - since)
            assert target.wait() == 0, target.err
        return took

    variants = {
        f"{variant}{name}": [*options, *more]
        for variant, options in agents("org.h2.**#*").items()
        for name, more in (("", []), (", archive", [f"-XX:SharedArchiveFile={archive}"]))
    }
    found = in_turn(ARCHIVE_TURNS, variants, query)
    for variant, times in found.items():
        print(f"startup   {jdk}: a query of H2: {variant}: {statistics.median(times):.0f} ms", flush=True)
    return {variant: {"ms": times} for variant, times in found.items()}


def memory(jdk: Jdk) -> dict[str, Any]:
    """Measures memory while 2,000 methods are dormant: heap after a full collection, metaspace, HotSpot's
    other native memory, and the agent's mapped files.
    """

    def occupied(options: list[str]) -> dict[str, float]:
        jvm = ["-XX:NativeMemoryTracking=summary", "-XX:+UseSerialGC", "-Xmx256m", *options]
        with java(jdk, "-cp", CLASSES, "Begins", jvm=jvm) as target:
            target.wait_for_line("loaded")
            if str(JAR) in " ".join(options):
                wait_for_probes(target.pid, PROBES)
            time.sleep(SETTLING_SECONDS)
            target.send("")
            _, heap, metaspace = target.wait_for_line("memory").split()
            return in_mib(
                int(heap) / 1024, int(metaspace) / 1024, native_kib(jdk, target.pid), mapped_kib(target.pid)
            )

    found = in_turn(MEMORY_TURNS, agents(METHODS), occupied)
    more = added(found)
    for variant, figures in more.items():
        text = ", ".join(f"{what} {mib:+.2f}" for what, mib in figures.items())
        print(f"startup   {jdk}: memory: {variant}: {text}", flush=True)
    return {**found, "added": more}


def in_mib(heap_kib: float, metaspace_kib: float, native_kib: float, mapped_kib: float) -> dict[str, float]:
    outside = native_kib + mapped_kib
    return {
        "heap, MiB": heap_kib / 1024,
        "metaspace, MiB": metaspace_kib / 1024,
        "native memory and mapped files, MiB": outside / 1024,
        "total, MiB": (heap_kib + metaspace_kib + outside) / 1024,
    }


def native_kib(jdk: Jdk, pid: int) -> int:
    """Returns HotSpot's committed memory without heap, metaspace, compilers and compiled code."""
    report = run(jdk.home / "bin/jcmd", pid, "VM.native_memory", "summary", "scale=KB").stdout
    parts = dict(re.findall(r"-\s+([A-Za-z ]+) \(reserved=\d+KB, committed=(\d+)KB", report))
    excluded = ("Java Heap", "Metaspace", "Compiler", "Code", "Native Memory Tracking", "Arena Chunk")
    return sum(int(kib) for name, kib in parts.items() if name not in excluded)


def mapped_kib(pid: int) -> int:
    """Returns the resident memory of the agent's native library and stub libraries."""
    resident = 0
    of_agent = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            of_agent = bool(re.search(r"/libjprobe\.so|/jprobe-\d+-[0-9a-f]{16}/\d+\.so", line))
        elif of_agent and line.startswith("Rss:"):
            resident += int(line.split()[1])
    return resident


def watching(jdk: Jdk) -> dict[str, float]:
    """Measures the watcher's CPU time in an idle program without a tracer, beside a thread that only waits as
    often.
    """
    classpath = f"{CLASSES}:{H2_JAR}"
    work = ["-cp", classpath, "Rounds", "sql", "1", "asked"]
    with (
        java(jdk, *work, probes=WATCHED, options="max-methods=20000") as target,
        java(jdk, "-cp", CLASSES, "Waits") as control,
    ):
        target.wait_for_line("warm", 120)
        control.wait_for_line("warm")
        wait_until(lambda: len(probes_of(target.pid)) > 9_000, "10,000 probes", 60)
        count = len(probes_of(target.pid))
        time.sleep(CALMING_SECONDS)
        both = (target.pid, control.pid)
        before, since = [cpu_ns(pid) for pid in both], time.perf_counter()
        time.sleep(WATCHED_SECONDS)
        spent, seconds = [cpu_ns(pid) for pid in both], time.perf_counter() - since
    share, alone = ((now - then) / 1e9 / seconds for now, then in zip(spent, before, strict=True))
    print(
        f"startup   {jdk}: the watcher of {count:,} dormant probes: {share:.3%} of a core; "
        f"a thread that only waits as often: {alone:.3%}",
        flush=True,
    )
    return {"probes": count, "percent of a core": 100 * share, "only waiting, percent of a core": 100 * alone}


def cpu_ns(pid: int) -> int:
    """Returns the CPU time of the thread named like the watcher."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("jprobe-watcher"):
            return nanoseconds(task)
    raise AssertionError(f"PID {pid} has no watcher thread")


def startup(jdk: Jdk) -> dict[str, Any]:
    return {
        "beginning": beginning(jdk),
        "archive": with_archive(jdk),
        "memory": memory(jdk),
        "watching": watching(jdk),
    }

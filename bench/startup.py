"""What the agent takes before anybody traces: time at the start, memory, and the watcher's CPU.

A bench of run.py's: `.venv/bin/python bench/run.py startup`, about three minutes for a JDK.
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
# Of H2, some 10,000 probes.
WATCHED = "org.h2.command.**#*;org.h2.mvstore.**#*;org.h2.value.Value*#*"
START_TURNS = 15
ARCHIVE_TURNS = 7
MEMORY_TURNS = 3
# What is done once, weaving for nothing among it, has been done then.
SETTLING_SECONDS = 3.0
# The watcher looks less often at a program that nobody has looked at for ten.
CALMING_SECONDS = 12.0
WATCHED_SECONDS = 30.0
# Of H2, what a query takes.
QUERY = ["-cp", str(H2_JAR), "org.h2.tools.Shell", "-url", "jdbc:h2:mem:", "-sql", "select 6 * 7"]

Ways = dict[str, list[str]]


def agents(selectors: str) -> Ways:
    """No agent, an agent that does nothing, one that is shown each class, and ours: as options of the JVM."""
    idle = agent_jar("Idle", CLASSES, BUILD)
    return {
        "no agent": [],
        "an agent that does nothing": [f"-javaagent:{idle}"],
        "one that is shown each class": [f"-javaagent:{idle}=listening"],
        "jprobe": [f"-javaagent:{JAR}=probes={selectors},max-methods=20000"],
    }


def in_turn(turns: int, ways: Ways, measure: Callable[[list[str]], Any]) -> dict[str, list[Any]]:
    """Each way that often, by turns; what is slow because the machine has changed is so for all."""
    found: dict[str, list[Any]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, options in ways.items():
            found[way].append(measure(options))
    return found


def cpu_ms(pid: int) -> float:
    """What the thread that comes to main has had of a CPU: on a machine that is busy with other things the
    clock says little, and the compilers' threads are not waited for."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(nanoseconds(task) for task in tasks if (task / "comm").read_text() == "java\n") / 1e6


def nanoseconds(task: Path) -> int:
    return int((task / "schedstat").read_text().split()[0])


def beginning(jdk: Jdk) -> dict[str, list[Any]]:
    """From the start of the process to main, and until all methods are loaded: ms by the clock, of CPU."""

    def begin(options: list[str]) -> list[tuple[float, float]]:
        since = time.perf_counter()
        taken = []
        with java(jdk, "-cp", CLASSES, "Begins", jvm=options) as target:
            for line in ("begun", "loaded"):
                target.wait_for_line(line)
                taken.append((1e3 * (time.perf_counter() - since), cpu_ms(target.pid)))
            target.finish_input()
            assert target.wait() == 0
        return taken

    ways = agents(METHODS)
    found = in_turn(START_TURNS, ways, begin)
    for i, what in enumerate(("to main", "to all 2,000 methods loaded")):
        for j, unit in enumerate(("ms", "ms of its CPU")):
            middle = {way: statistics.median(run[i][j] for run in runs) for way, runs in found.items()}
            plain = middle.pop("no agent")
            print(
                f"startup   {jdk}: {what}: no agent {plain:.0f} {unit}; " + added(middle, plain), flush=True
            )
    return found


def added(middle: dict[str, float], plain: float) -> str:
    return "; ".join(f"{way} {value - plain:+.0f}" for way, value in middle.items())


def with_archive(jdk: Jdk) -> dict[str, dict[str, list[float]]]:
    """A query of H2 from the start of the process to its end, in ms, its classes from an archive or not."""
    archive = BUILD / f"h2-{jdk}.jsa"
    done = run(jdk.java, f"-XX:ArchiveClassesAtExit={archive}", *QUERY, timeout=120)
    assert done.returncode == 0, done.stderr

    def query(options: list[str]) -> float:
        since = time.perf_counter()
        with java(jdk, *QUERY, jvm=options) as target:
            # Waiting with a deadline looks every 50 ms.
            os.waitid(os.P_PID, target.pid, os.WEXITED | os.WNOWAIT)
            took = 1e3 * (time.perf_counter() - since)
            assert target.wait() == 0, target.err
        return took

    ways = {
        f"{way}{name}": [*options, *more]
        for way, options in agents("org.h2.**#*").items()
        for name, more in (("", []), (", archive", [f"-XX:SharedArchiveFile={archive}"]))
    }
    found = in_turn(ARCHIVE_TURNS, ways, query)
    for way, times in found.items():
        print(f"startup   {jdk}: a query of H2: {way}: {statistics.median(times):.0f} ms", flush=True)
    return found


def memory(jdk: Jdk) -> dict[str, list[Any]]:
    """What is in use when 2,000 methods are dormant, in KiB: heap after a full collection, metaspace, what
    else HotSpot has committed, and the agent's mapped files."""

    def occupied(options: list[str]) -> dict[str, int]:
        jvm = ["-XX:NativeMemoryTracking=summary", "-XX:+UseSerialGC", "-Xmx256m", *options]
        with java(jdk, "-cp", CLASSES, "Begins", jvm=jvm) as target:
            target.wait_for_line("loaded")
            if str(JAR) in " ".join(options):
                wait_for_probes(target.pid, PROBES)
            time.sleep(SETTLING_SECONDS)
            target.send("")
            _, heap, metaspace = target.wait_for_line("memory").split()
            return {
                "heap": int(heap) // 1024,
                "metaspace": int(metaspace) // 1024,
                "native": native_kib(jdk, target.pid),
                "mapped": mapped_kib(target.pid),
            }

    found = in_turn(MEMORY_TURNS, agents(METHODS), occupied)
    plain = found["no agent"]
    for way, runs in found.items():
        more = {
            what: statistics.median(run[what] for run in runs) - statistics.median(run[what] for run in plain)
            for what in runs[0]
        }
        told = ", ".join(f"{what} {kib / 1024:+.2f}" for what, kib in more.items())
        print(f"startup   {jdk}: memory: {way}: {told}: {sum(more.values()) / 1024:+.2f} MiB", flush=True)
    return found


def native_kib(jdk: Jdk, pid: int) -> int:
    """What HotSpot has committed, but for the heap, the metaspace, and the compilers with their code."""
    told = run(jdk.home / "bin/jcmd", pid, "VM.native_memory", "summary", "scale=KB").stdout
    parts = dict(re.findall(r"-\s+([A-Za-z ]+) \(reserved=\d+KB, committed=(\d+)KB", told))
    apart = ("Java Heap", "Metaspace", "Compiler", "Code", "Native Memory Tracking", "Arena Chunk")
    return sum(int(kib) for name, kib in parts.items() if name not in apart)


def mapped_kib(pid: int) -> int:
    """The resident pages of the agent's native library and of its stub libraries."""
    resident = 0
    ours = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = bool(re.search(r"/libjprobe\.so|/jprobe-\d+-[0-9a-f]{16}/\d+\.so", line))
        elif ours and line.startswith("Rss:"):
            resident += int(line.split()[1])
    return resident


def watching(jdk: Jdk) -> dict[str, float]:
    """The watcher's CPU while nobody listens to the probes of a program at rest; beside it, that of a thread
    which only waits as often."""
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
    return {"probes": count, "share": share, "waiting alone": alone}


def cpu_ns(pid: int) -> int:
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("jprobe-watcher"):
            return nanoseconds(task)
    raise AssertionError("there is no watcher")


def startup(jdk: Jdk) -> dict[str, Any]:
    return {
        "beginning": beginning(jdk),
        "archive": with_archive(jdk),
        "memory": memory(jdk),
        "watching": watching(jdk),
    }

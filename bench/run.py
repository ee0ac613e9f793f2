"""What jprobe costs, side by side with doing without, in one run on one machine.

    make bench                                  all of it, about three quarters of an hour
    .venv/bin/python bench/run.py dormant       one or more of: dormant, calls, filtered, inlining, attach,
                                                recovery, selecting, binding, guard, quota, startup,
                                                safepoints (on each JDK), starting, attaching, reading
                                                (the collector's)

Each figure is a median, and each claim a ratio of medians of runs that took turns. Everything that
was measured is kept in bench/results/, one JSON file a run.
"""

from __future__ import annotations

import contextlib
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

from attaching import attaching, starting  # noqa: E402
from binding import binding  # noqa: E402
from guard import guard  # noqa: E402
from quota import quota  # noqa: E402
from reading import reading  # noqa: E402
from safepoints import safepoints  # noqa: E402
from startup import startup  # noqa: E402

from conditions import wait_until  # noqa: E402
from java_target import (  # noqa: E402
    COMPILER,
    H2_JAR,
    JAR,
    JCOLLECT,
    JDKS,
    Jdk,
    Process,
    attach,
    java,
    probes_of,
    run,
    wait_for_probes,
)
from jcollect.probes.live import read_live  # noqa: E402
from jcollect.probes.probe import Probe  # noqa: E402
from jcollect.probes.process import find_process  # noqa: E402
from jprobe.v1 import probe_pb2  # noqa: E402
from second_agent import agent_jar  # noqa: E402

BUILD = ROOT / "build/bench"
CLASSES = 50
METHODS_A_CLASS = 40
WARM_ROUNDS = 250
# Bytes of code: below, at and above what is inlined when not hot (35) and when hot (325).
SIZES = (10, 26, 34, 98, 290, 322)
# JEP 520.
METHOD_TIMING_SINCE = 25
TRIOS = 7
ROUNDS_IN_TURN = 60
SELECTING_TURNS = 3
DISTURBED_MS = 5_000.0
# Less of the noise that is the garbage collector's.
STEADY = ["-XX:+UseSerialGC", "-Xms1g", "-Xmx1g"]


def compile_all() -> None:
    """The targets, and a program of exactly 2,000 methods m0 to m39 in 50 classes."""
    sources = BUILD / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for number in range(CLASSES):
        methods = "\n".join(
            f"  static long m{i}(long a, int b) {{ return a * {i + 3} + b; }}" for i in range(METHODS_A_CLASS)
        )
        calls = "\n".join(f"    a = m{i}(a, {i});" for i in range(METHODS_A_CLASS))
        (sources / f"C{number}.java").write_text(
            f"package many;\nclass C{number} {{\n{methods}\n"
            f"  static long all(long a) {{\n{calls}\n    return a;\n  }}\n}}\n"
        )
    everything = "\n".join(f"    a = C{number}.all(a);" for number in range(CLASSES))
    (sources / "Many.java").write_text(
        "package many;\npublic class Many {\n"
        f"  public static long all(long a) {{\n{everything}\n    return a;\n  }}\n}}\n"
    )
    (sources / "Sizes.java").write_text(sizes_source())
    files = [*sorted((ROOT / "bench/targets").glob("*.java")), *sorted(sources.glob("*.java"))]
    done = run(COMPILER.javac, "--release", "11", "-d", BUILD / "classes", *files)
    assert done.returncode == 0, done.stderr


def sizes_source() -> str:
    """A program with a method of each size, in bytes of code, called in a loop of its own.

    It speaks on stderr, because the compilers print into the lines of stdout.
    """
    body = "x = x * 31 + 7;"  # 8 bytes; "return x;" has 2.
    methods = "\n".join(
        f"  static int size{size}(int x) {{ {body * (size // 8)} return x; }}" for size in SIZES
    )
    loops = "\n".join(
        f"  static int loop{size}(int x) {{ for (int i = 0; i < 2000; i++) x = size{size}(x); return x; }}"
        for size in SIZES
    )
    calls = "\n".join(f"        x = loop{size}(x);" for size in SIZES)
    return f"""package sizes;
public class Sizes {{
{methods}
{loops}
  public static void main(String[] arguments) throws Exception {{
    System.err.println("ready");
    var commands = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
    int x = 0;
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {{
      for (int i = 0; i < 20_000; i++) {{
{calls}
      }}
      System.err.println(x == 42 ? "done." : "done");
    }}
  }}
}}
"""


class Measurements:
    """What a target prints, as it comes: a time in ms of the epoch, and a number."""

    def __init__(self, target: Process) -> None:
        self._target = target

    def all(self) -> list[tuple[float, float]]:
        lines = [line.split() for line in list(self._target.out)]
        return [(float(line[0]), float(line[1])) for line in lines if len(line) == 2]

    def next(self, count: int) -> list[float]:
        """The coming ones."""
        start = len(self.all()) + 1
        wait_until(lambda: len(self.all()) >= start + count, f"{count} measurements", 300)
        return [value for _, value in self.all()[start : start + count]]


def now_ms() -> float:
    return 1e3 * time.time()


def work(jdk: Jdk, what: str, probes: str | None, warm_up: int, rounds: int | str) -> Process:
    """Rounds of SQL ("sql"), or of calls of 2,000 small methods ("many")."""
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    options = "max-methods=20000" if probes else ""
    return java(
        jdk, "-cp", classpath, "Rounds", what, warm_up, rounds, probes=probes, options=options, jvm=STEADY
    )


def rounds_in_turn(jdk: Jdk, what: str, probes: str) -> list[list[float]]:
    """Rounds, in ms, of two JVMs without the agent and of one with it, which take turns.

    What disturbs the machine disturbs all three. The second JVM without the agent is the control: it
    says how far apart two equal JVMs come out, for instance by the order in which the compiler came
    to the methods.
    """
    rounds: list[list[float]] = [[], [], []]
    with contextlib.ExitStack() as stack:
        targets = []
        for selected in (None, None, probes):
            target = stack.enter_context(work(jdk, what, selected, WARM_ROUNDS, "asked"))
            target.wait_for_line("warm", 300)
            targets.append(target)
        for turn in range(3 * ROUNDS_IN_TURN):
            # Each comes first, second and third equally often.
            which = (turn + turn // 3) % 3
            targets[which].send("")
            line = targets[which].wait_for_line(r"\d+ \d+")
            rounds[which].append(float(line.split()[1]) / 1e6)
    return rounds


def dormant(jdk: Jdk) -> dict[str, Any]:
    """Selected dormant methods against no agent, on two programs."""
    return {
        "many": dormant_in(jdk, "many", "many.C*#m*", 2_000),
        "sql": dormant_in(jdk, "sql", "org.h2.**#*", 5_000),
    }


def dormant_in(jdk: Jdk, what: str, probes: str, at_least: int) -> dict[str, Any]:
    with work(jdk, what, probes, 1, 0) as target:
        target.wait_for_line("warm")
        wait_until(lambda: len(probes_of(target.pid)) >= 3 * at_least, f"{at_least} methods")
        methods = len({probe.method_key for probe in find_process(target.pid).probes(())})
    trios = [rounds_in_turn(jdk, what, probes) for _ in range(TRIOS)]
    plain, control, selected = ([statistics.median(trio[i]) for trio in trios] for i in range(3))
    # Each JVM counts once, with its median: the rounds of one are not independent.
    base = statistics.median(plain + control)
    ratio = statistics.median(selected) / base
    control_ratios = [b / a for a, b in zip(plain, control, strict=True)]
    print(
        f"dormant   {jdk}: {what}: {methods:,} methods selected: {statistics.median(selected):.2f} ms a "
        f"round, no agent {base:.2f} ms: ratio {ratio:.3f} (two JVMs without the agent differ by up to "
        f"{max(abs(one - 1) for one in control_ratios):.1%})",
        flush=True,
    )
    return {"methods": methods, "trios_ms": trios, "ratio": ratio, "control_ratios": control_ratios}


def call_ns(jdk: Jdk, probes: str | None, jvm: Sequence[str] = (), probe: str | None = None) -> float:
    """Median nanoseconds of a call of Calls.add, attached to `probe` or to nothing."""
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
    """A method that adds two ints: ns a call, dormant and traced, beside HotSpot's own probes."""
    ways: dict[str, Callable[[], float]] = {
        "no agent": lambda: call_ns(jdk, None),
        "jprobe, dormant": lambda: call_ns(jdk, "Calls#add"),
        "-XX:+DTraceMethodProbes, nobody attached": lambda: call_ns(jdk, None, ["-XX:+DTraceMethodProbes"]),
        "jprobe, return attached": lambda: call_ns(jdk, "Calls#add", probe="*:add__return"),
        "jprobe, entry and return attached": lambda: call_ns(jdk, "Calls#add", probe="*:add__*"),
    }
    return in_turn(jdk, "calls", ways)


def in_turn(jdk: Jdk, name: str, ways: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each way five times, by turns, in ns."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(5):
        for way, measure in ways.items():
            times[way].append(measure())
    for way, taken in times.items():
        print(f"{name:9} {jdk}: {way}: {statistics.median(taken):.1f} ns", flush=True)
    return times


def filtered(jdk: Jdk) -> dict[str, Any]:
    """A method that adds two ints, its return and throw probes attached, and hardly any call fires.

    Beside it, where there is one, the JDK's own event that only times and counts, and its event with a
    threshold that no call reaches.
    """

    def held_back(condition: str) -> Callable[[], float]:
        return lambda: call_ns(jdk, f"Calls#add {condition}", probe="*:add__[rt]*")

    def recorded(*settings: str) -> Callable[[], float]:
        file = f"filename={BUILD / 'recording.jfr'}"
        return lambda: call_ns(jdk, None, [f"-XX:StartFlightRecording:{','.join((file, *settings))}"])

    ways: dict[str, Callable[[], float]] = {
        "no agent": lambda: call_ns(jdk, None),
        "jprobe, when duration > 1s": held_back("when duration > 1s"),
        "jprobe, every 1000000": held_back("every 1000000"),
        "jprobe, when arg1 < 0": held_back("when arg1 < 0"),
    }
    if jdk.version >= METHOD_TIMING_SINCE:
        ways["JFR jdk.MethodTiming"] = recorded("method-timing=Calls::add")
        ways["JFR jdk.MethodTrace, threshold 1 s"] = recorded(
            "jdk.MethodTrace#enabled=true",
            "jdk.MethodTrace#filter=Calls::add",
            "jdk.MethodTrace#threshold=1s",
        )
    return in_turn(jdk, "filtered", ways)


def inlining(jdk: Jdk) -> dict[str, Any]:
    """Whether HotSpot's compilers inline methods of several sizes, untouched and woven."""
    found = {}
    for what, condition in (("untouched", None), ("woven", "when duration > 1s")):
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
    """What the compilers say of each method, by its size in bytes without us."""
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
            # The first compiler, and no other, says just "inline", or "callee is too large".
            first = verdict[3] == "inline" or "callee is too large" in verdict[3]
            of_size = verdicts.setdefault(verdict[1], {"bytes": verdict[2]})
            of_size["C1" if first else "C2"] = verdict[3].removeprefix("failed to inline: ")
    return verdicts


def attach_many(jdk: Jdk) -> dict[str, Any]:
    """2,000 methods, 6,000 probes: from linking to all armed, and from Ctrl-C to all restored."""
    first_ms, later_ms, gone_ms, restored_ms = [], [], [], []
    for _ in range(3):
        with work(jdk, "many", "many.C*#m*", 1, "asked") as target:
            target.wait_for_line("warm")
            wait_for_probes(target.pid, 3 * CLASSES * METHODS_A_CLASS)
            probes = find_process(target.pid).probes(())
            for attempt in range(4):
                with attach(target.pid) as collector:
                    armed = re.match(r"armed 6,000 probes of 2,000 methods in (\d+) ms", collector.err[-1])
                    assert armed, collector.err
                    (later_ms if attempt else first_ms).append(float(armed[1]))
                    start = now_ms()
                    collector.signal(signal.SIGINT)
                    restored_ms.append(wait_until_restored(probes)[1] - start)
                    assert collector.wait() == 0
                    gone_ms.append(now_ms() - start)
    print(
        f"attach    {jdk}: 2,000 methods, 6,000 probes: armed in {statistics.median(first_ms):.0f} ms the "
        f"first time, {statistics.median(later_ms):.0f} ms later; after Ctrl-C all restored in "
        f"{statistics.median(restored_ms):.0f} ms, jcollect gone in {statistics.median(gone_ms):.0f} ms",
        flush=True,
    )
    return {"first_ms": first_ms, "later_ms": later_ms, "restored_ms": restored_ms, "gone_ms": gone_ms}


def wait_until_restored(probes: list[Probe]) -> tuple[float, float]:
    """When all semaphores were 0, and when all methods were as before: ms of the epoch."""
    wait_until(lambda: not any(live.semaphore_count for live in read_live(probes)), "semaphores at 0")
    fallen = now_ms()
    dormant = probe_pb2.PROBE_STATE_DORMANT
    wait_until(lambda: all(live.state == dormant for live in read_live(probes)), "all dormant")
    return fallen, now_ms()


def recover(jdk: Jdk, what: str, target: Process, attached_rounds: int) -> dict[str, Any]:
    """Kills a collector that is attached to all returns, and watches the program recover."""
    probes = find_process(target.pid).probes(("*__return",))
    measurements = Measurements(target)
    before = measurements.next(60)
    with attach(target.pid, "--probe", "*__return") as collector:
        attached = measurements.next(attached_rounds)
        killed = now_ms()
        collector.signal(signal.SIGKILL)
        fallen, restored = wait_until_restored(probes)
    usual = statistics.median(before)
    recovered = wait_until(lambda: first_usual(measurements.all(), killed, usual), "recovery", 120)
    after = measurements.next(60)
    ratio = statistics.median(after) / usual
    print(
        f"recovery  {jdk}: {what}, attached {statistics.median(attached) / usual:.0f} times slower; after "
        f"kill -9: semaphores 0 in {fallen - killed:.0f} ms, methods restored in "
        f"{restored - killed:.0f} ms, usual speed in {recovered - killed:.0f} ms; then ratio {ratio:.3f}",
        flush=True,
    )
    return {
        "before": before,
        "attached": attached,
        "after": after,
        "semaphores_0_ms": fallen - killed,
        "restored_ms": restored - killed,
        "usual_speed_ms": recovered - killed,
        "ratio": ratio,
    }


def first_usual(measured: list[tuple[float, float]], since: float, usual: float) -> float | None:
    """When, after `since`, the median of three in a row came within a tenth of the usual."""
    later = [one for one in measured if one[0] > since]
    for three in zip(later, later[1:], later[2:], strict=False):
        if statistics.median(value for _, value in three) < 1.1 * usual:
            return three[0][0]
    return None


def recovery(jdk: Jdk) -> dict[str, Any]:
    """Throughput before a collector, under it, and after its kill -9."""
    with java(jdk, "-cp", BUILD / "classes", "Calls", 0, probes="Calls#add") as target:
        wait_for_probes(target.pid, 3)
        Measurements(target).next(40)
        one = recover(jdk, "one method, called without pause", target, 40)
    with work(jdk, "sql", "org.h2.mvstore.**#*", WARM_ROUNDS, 0) as target:
        target.wait_for_line("warm", 120)
        methods = len(find_process(target.pid).probes(("*__return",)))
        many = recover(jdk, f"SQL with {methods:,} methods woven", target, 3)
    return {"one method": one, "many methods": many}


def selecting(jdk: Jdk) -> dict[str, Any]:
    """A database under load: all of its methods selected while it runs, against the usual way to come by
    class files, a retransformation that changes none. What the program loses by it in the five seconds after.
    """
    request = BUILD / "again"
    jar = agent_jar("Again", BUILD / "classes", BUILD)

    def select(target: Process) -> None:
        done = run(JCOLLECT, "select", target.pid, "org.h2.**#*", timeout=120)
        assert done.returncode == 0, done.stderr

    def retransform(target: Process) -> None:
        request.touch()
        wait_until(lambda: not request.exists(), "the retransformation", 120)

    ways: dict[str, tuple[list[str], Callable[[Process], None]]] = {
        "jcollect select": ([f"-javaagent:{JAR}=control=on,max-methods=20000"], select),
        "retransformed": ([f"-javaagent:{jar}=org.h2.,{request}"], retransform),
        "nothing": ([], lambda target: None),
    }
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(SELECTING_TURNS):
        for way, (agent, action) in ways.items():
            found[way].append(disturbed(jdk, agent, action))
    for way, runs in found.items():
        took, slowest, lost, after = (
            statistics.median(one[what] for one in runs)
            for what in ("took_ms", "slowest", "lost_ms", "lost_after_ms")
        )
        print(
            f"selecting {jdk}: {way}: took {took:.0f} ms; slowest round {slowest:.2f} times the usual; "
            f"lost {lost:.0f} ms in 5 s, {after:.0f} ms of them when it was done",
            flush=True,
        )
    return found


def disturbed(jdk: Jdk, agent: list[str], action: Callable[[Process], None]) -> dict[str, float]:
    """What an action costs a program that works as fast as it can; times in ms, rounds as ratios."""
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    with java(jdk, "-cp", classpath, "Rounds", "sql", WARM_ROUNDS, 0, jvm=[*STEADY, *agent]) as target:
        target.wait_for_line("warm", 300)
        measurements = Measurements(target)
        usual = statistics.median(measurements.next(40)) / 1e6
        start = now_ms()
        action(target)
        took = now_ms() - start
        wait_until(lambda: measurements.all()[-1][0] > start + DISTURBED_MS, "five seconds", 60)
        ends = [
            (end, nanos / 1e6) for end, nanos in measurements.all() if start < end <= start + DISTURBED_MS
        ]
        rounds = [took_ms for _, took_ms in ends]
        after = [took_ms for end, took_ms in ends if end - took_ms > start + took]
    return {
        "usual_ms": usual,
        "took_ms": took,
        "slowest": max(rounds) / usual,
        "lost_ms": sum(rounds) - usual * len(rounds),
        "lost_after_ms": sum(after) - usual * len(after),
        "rounds": len(rounds),
    }


BENCHES = {
    "dormant": dormant,
    "calls": calls,
    "filtered": filtered,
    "inlining": inlining,
    "attach": attach_many,
    "recovery": recovery,
    "selecting": selecting,
    "binding": binding,
    "guard": guard,
    "quota": quota,
    "startup": startup,
    "safepoints": safepoints,
}


# Of the collector, whatever the JDK.
COLLECTOR_BENCHES = {"starting": starting, "attaching": attaching, "reading": reading}


def main() -> None:
    known = [*BENCHES, *COLLECTOR_BENCHES]
    wanted = sys.argv[1:] or known
    if unknown := set(wanted) - set(known):
        sys.exit(f"bench: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    started = datetime.now(UTC)
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    results: dict[str, Any] = {
        "started": started.isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
    }
    file = ROOT / "bench/results" / f"{started:%Y-%m-%dT%H%M%S}.json"
    file.parent.mkdir(exist_ok=True)

    def keep(name: str, found: Any, kept: dict[str, Any]) -> None:
        """What has been measured is kept, whatever happens to the rest."""
        kept[name] = found
        file.write_text(json.dumps(results, indent=1) + "\n")

    of_collector: dict[str, Any] = {}
    results["collector"] = of_collector
    for name in [name for name in COLLECTOR_BENCHES if name in wanted]:
        keep(name, COLLECTOR_BENCHES[name](), of_collector)
    if of_jdks := [name for name in wanted if name in BENCHES]:
        compile_all()
        for jdk in (JDKS[0], JDKS[-1]):
            results[str(jdk)] = {}
            for name in of_jdks:
                keep(name, BENCHES[name](jdk), results[str(jdk)])
    print(f"raw numbers: {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""Compiles and starts the programs that the agent's benches trace, and reads what they print."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from conditions import wait_until
from java_target import COMPILER, H2_JAR, ROOT, Jdk, Process, java, run
from jcollect.probes.live import read_live
from jcollect.probes.probe import Probe
from jprobe.v1 import probe_pb2

BUILD = ROOT / "build/bench"
CLASSES = 50
METHODS_PER_CLASS = 40
# Bytes of bytecode: below, at and above the limits for inlining warm methods (35) and hot methods (325).
SIZES = (10, 26, 34, 98, 290, 322)
WARM_ROUNDS = 250
# Reduces the noise of garbage collections.
STEADY = ["-XX:+UseSerialGC", "-Xms1g", "-Xmx1g"]


def compile_all() -> None:
    """Compiles bench/targets and two generated programs: `many`, with exactly 2,000 methods, and `sizes`."""
    sources = BUILD / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for number in range(CLASSES):
        methods = "\n".join(
            f"  static long m{i}(long a, int b) {{ return a * {i + 3} + b; }}"
            for i in range(METHODS_PER_CLASS)
        )
        calls = "\n".join(f"    a = m{i}(a, {i});" for i in range(METHODS_PER_CLASS))
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
    """Returns a program with one method of each size, each called in its own loop.

    It prints to stderr, because the compilers' messages may split lines of stdout.
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
    """The measurements that a target has printed so far: a time in ms of the epoch, and a number."""

    def __init__(self, target: Process) -> None:
        self._target = target

    def all(self) -> list[tuple[float, float]]:
        lines = [line.split() for line in list(self._target.out)]
        return [(float(line[0]), float(line[1])) for line in lines if len(line) == 2]

    def next(self, count: int) -> list[float]:
        """Waits for the next `count` measurements and returns their numbers."""
        start = len(self.all()) + 1
        wait_until(lambda: len(self.all()) >= start + count, f"{count} measurements", 300)
        return [value for _, value in self.all()[start : start + count]]


def now_ms() -> float:
    return 1e3 * time.time()


def work(jdk: Jdk, what: str, probes: str | None, warm_up: int, rounds: int | str) -> Process:
    """Starts Rounds.java, which executes SQL ("sql") or calls 2,000 small methods ("many")."""
    classpath = f"{BUILD / 'classes'}:{H2_JAR}"
    options = "max-methods=20000" if probes else ""
    return java(
        jdk, "-cp", classpath, "Rounds", what, warm_up, rounds, probes=probes, options=options, jvm=STEADY
    )


def wait_until_restored(probes: list[Probe]) -> tuple[float, float]:
    """Returns when all semaphores were 0, and when all methods were restored, in ms of the epoch."""
    wait_until(lambda: not any(live.semaphore_count for live in read_live(probes)), "semaphores at 0")
    at_zero = now_ms()
    dormant = probe_pb2.PROBE_STATE_DORMANT
    wait_until(lambda: all(live.state == dormant for live in read_live(probes)), "all dormant")
    return at_zero, now_ms()


def in_turn(
    jdk: Jdk, bench: str, variants: dict[str, Callable[[], float]]
) -> dict[str, dict[str, list[float]]]:
    """Measures each variant five times, in turn; a measurement is in ns per call."""
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(5):
        for variant, measure in variants.items():
            times[variant].append(measure())
    for variant, taken in times.items():
        print(f"{bench:9} {jdk}: {variant}: {statistics.median(taken):.1f} ns", flush=True)
    return {variant: {"ns per call": taken} for variant, taken in times.items()}

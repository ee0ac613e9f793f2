"""What a hand-made probe costs in Java, beside a JNI call that boxes its values as libstapsdt-jni does.

A bench of run.py's: `.venv/bin/python bench/run.py binding`, about three minutes.
"""

from __future__ import annotations

import contextlib
import statistics

from conditions import wait_until
from java_target import COMPILER, ROOT, Jdk, Process, attach, java, probes_of, run

SOURCES = ROOT / "bench/targets/stapsdt"
BINDING = ROOT / "java-agent/build/libs/jprobe-stapsdt.jar"
BUILD = ROOT / "build/bench/stapsdt"
BOXED = BUILD / "libboxed.so"
TURNS = 5
# Lines of 25 ms: until all is compiled, until the tracer has settled, and those that count.
WARM_UP = 40
SETTLING = 20
MEASURED = 40


def compile_binding() -> None:
    """The Java program, and the library of the other way to fire."""
    BUILD.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{COMPILER.home}/include", f"-I{COMPILER.home}/include/linux"]
    for command in (
        [COMPILER.javac, "--release", "11", "-cp", BINDING, "-d", BUILD, SOURCES / "Fires.java"],
        ["gcc", "-O2", "-fPIC", "-shared", *includes, "-o", BOXED, SOURCES / "boxed.c"],
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr


def fires(target: Process, skipped: int, count: int) -> tuple[float, float]:
    """Medians of the coming lines: nanoseconds and bytes a fire."""
    start = len(target.out) + skipped
    wait_until(lambda: len(target.out) >= start + count, f"{count} measurements", 120)
    lines = [line.split() for line in target.out[start : start + count]]
    return statistics.median(float(line[1]) for line in lines), statistics.median(
        float(line[2]) for line in lines
    )


def measure(jdk: Jdk, how: str, armed: bool) -> tuple[float, float]:
    with contextlib.ExitStack() as stack:
        command = ["-cp", f"{BUILD}:{BINDING}", "Fires", how, BOXED]
        target = stack.enter_context(java(jdk, *command))
        fires(target, WARM_UP, 1)
        if armed:
            wait_until(lambda: probes_of(target.pid), "its probe")
            stack.enter_context(attach(target.pid))
        return fires(target, SETTLING, MEASURED)


def binding(jdk: Jdk) -> dict[str, list[tuple[float, float]]]:
    """A fire with three longs, dormant and armed: ns and bytes allocated, each way by turns."""
    compile_binding()
    ways = {
        "the loop alone": ("none", False),
        "jprobe, dormant": ("jprobe", False),
        "boxed through JNI, dormant": ("boxed", False),
        "jprobe, armed": ("jprobe", True),
        "boxed through JNI, armed": ("boxed", True),
    }
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(TURNS):
        for way, (how, armed) in ways.items():
            taken[way].append(measure(jdk, how, armed))
    for way, pairs in taken.items():
        nanos, size = (statistics.median(pair[i] for pair in pairs) for i in range(2))
        print(f"binding   {jdk}: {way}: {nanos:.1f} ns, {size:.0f} bytes allocated", flush=True)
    return taken

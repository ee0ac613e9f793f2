"""Measures a user-defined probe in Java, beside a JNI call that boxes its values as libstapsdt-jni does.

A bench of bench/run.py: `binding`, about three minutes.
"""

from __future__ import annotations

import contextlib
import statistics

from conditions import wait_until
from java_target import BINDING, COMPILER, ROOT, Jdk, Process, attach, java, probes_of, run

SOURCES = ROOT / "bench/targets/stapsdt"
BUILD = ROOT / "build/bench/stapsdt"
BOXED = BUILD / "libboxed.so"
TURNS = 5
# Lines of 25 ms each: until all code is compiled, until the tracer has settled, and those that are measured.
WARM_UP = 40
SETTLING = 20
MEASURED = 40
FIGURES = ("ns per firing", "bytes per firing")


def compile_binding() -> None:
    """Compiles the Java program, and the JNI library that it is compared with."""
    BUILD.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{COMPILER.home}/include", f"-I{COMPILER.home}/include/linux"]
    for command in (
        [COMPILER.javac, "--release", "11", "-cp", BINDING, "-d", BUILD, SOURCES / "Fires.java"],
        ["gcc", "-O2", "-fPIC", "-shared", *includes, "-o", BOXED, SOURCES / "boxed.c"],
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr


def fires(target: Process, skipped: int, count: int) -> tuple[float, float]:
    """Returns medians of the next `count` lines after `skipped` ones: ns and allocated bytes per firing."""
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


def binding(jdk: Jdk) -> dict[str, list[dict[str, float]]]:
    """Measures a firing with three longs, dormant and armed; the variants take turns."""
    compile_binding()
    variants = {
        "the loop alone": ("none", False),
        "jprobe, dormant": ("jprobe", False),
        "boxed through JNI, dormant": ("boxed", False),
        "jprobe, armed": ("jprobe", True),
        "boxed through JNI, armed": ("boxed", True),
    }
    taken: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for _ in range(TURNS):
        for variant, (how, armed) in variants.items():
            taken[variant].append(dict(zip(FIGURES, measure(jdk, how, armed), strict=True)))
    for variant, runs in taken.items():
        nanos, size = (statistics.median(one[figure] for one in runs) for figure in FIGURES)
        print(f"binding   {jdk}: {variant}: {nanos:.1f} ns, {size:.0f} bytes allocated", flush=True)
    return taken

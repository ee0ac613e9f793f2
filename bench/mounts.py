"""Measures what reports of mounts cost a virtual thread, which yields in a loop.

A bench of bench/run.py: `mounts`, about 30 seconds, for the newest JDK only. The program is
tests/targets/Mounts.java, on one carrier.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from java_target import COMPILER, Jdk, attach, finish, java  # noqa: E402
from programs import BUILD  # noqa: E402

FIRST_VERSION = 21
ROUNDS = 5
YIELDS = 1_000_000
PROBES = "Mounts#sleep"
ONE_CARRIER = ("-Djdk.virtualThreadScheduler.parallelism=1", "-Djdk.virtualThreadScheduler.maxPoolSize=1")


def mounts(jdk: Jdk) -> dict[str, Any]:
    """Returns ns per yield: before any report, while calls are explained, and afterwards."""
    if jdk.version < FIRST_VERSION:
        return {}
    classes = BUILD / "mounts"
    classes.mkdir(parents=True, exist_ok=True)
    subprocess.run([COMPILER.javac, "-d", classes, ROOT / "tests/targets/Mounts.java"], check=True)
    found: dict[str, list[float]] = {}
    with java(jdk, *ONE_CARRIER, "-cp", classes, "Mounts", probes=PROBES) as target:
        target.wait_for_line("ready")

        def measure(name: str) -> None:
            for turn in range(ROUNDS + 1):
                target.send(f"yield 1 {YIELDS}")
                nanos = float(target.wait_for_line(r"yield \d").split()[1])
                target.wait_for_line("done yield")
                # The first round compiles.
                if turn:
                    found.setdefault(f"{name}, ns", []).append(nanos)

        measure("never reported")
        with attach(target.pid) as collector:
            measure("traced, not explained")
            finish(collector)
        with attach(target.pid, "--explain", "cpu") as collector:
            measure("explained")
            finish(collector)
        measure("explained before")
    for name, nanos in found.items():
        print(f"mounts: {name}: {statistics.median(nanos):.0f}", flush=True)
    return found

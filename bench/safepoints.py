"""Measures how long a busy database pauses while its methods are woven and restored.

A bench of bench/run.py: `safepoints`, about a minute on each JDK. It reads the JVM's safepoint log and the
durations of the program's rounds.
"""

from __future__ import annotations

import re
import signal
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conditions import wait_until  # noqa: E402
from java_target import H2_JAR, Jdk, Process, attach, java  # noqa: E402
from jcollect.probes.live import read_live  # noqa: E402
from jcollect.probes.probe import Probe  # noqa: E402
from jcollect.probes.scan import scan_traceable  # noqa: E402
from jprobe.v1 import probe_pb2  # noqa: E402
from processes import opened  # noqa: E402

BUILD = ROOT / "build/bench"
JVMS = 3
TURNS = 2
WARM_ROUNDS = 150
USUAL_ROUNDS = 40
# Measured from attaching, and from detaching.
WINDOW_SECONDS = 3.0
# Woven methods whose calls do not fire: traps would hide the cost of weaving.
PROBES = "org.h2.**#* every 1000000000"
SAFEPOINT = re.compile(r'\[(\d+)ms\].*Safepoint "RedefineClasses",.* Total: +(\d+) ns')


@dataclass(frozen=True)
class Change:
    """The effect of one arming or restoring; all times in ms."""

    took: float
    safepoints: list[float]
    slowest_round: float
    usual_round: float

    def figures(self) -> dict[str, float]:
        return {
            "took, ms": self.took,
            "safepoints": len(self.safepoints),
            "longest safepoint, ms": max(self.safepoints),
            "usual safepoint, ms": statistics.median(self.safepoints),
            "all safepoints, ms": sum(self.safepoints),
            "slowest round, usual rounds": self.slowest_round / self.usual_round,
        }


def safepoints(jdk: Jdk) -> dict[str, Any]:
    """Arms and restores all methods of H2 while it works."""
    changes: dict[str, list[Change]] = {"the first time": [], "later": [], "restored": []}
    methods = 0
    for number in range(JVMS):
        log = BUILD / f"safepoints-{jdk}-{number}.log"
        log.unlink(missing_ok=True)
        with database(jdk, log) as target:
            target.wait_for_line("warm", 300)
            probes = scan_traceable(opened(target.pid)).probes(("*__return",))
            methods = len(probes)
            for turn in range(TURNS):
                armed, restored = arm_and_restore(target, log, probes)
                changes["later" if turn else "the first time"].append(armed)
                changes["restored"].append(restored)
    found = {what: [change.figures() for change in made] for what, made in changes.items()}
    for what, figures in found.items():
        medians = ", ".join(
            f"{name} {statistics.median(one[name] for one in figures):.1f}" for name in figures[0]
        )
        print(f"safepoints {jdk}: {methods:,} methods, {what}: {medians}", flush=True)
    return {"methods": methods, **found}


def database(jdk: Jdk, log: Path) -> Process:
    """Starts Rounds.java on H2 with all methods selected; it runs until it is killed."""
    return java(
        jdk,
        *("-cp", f"{BUILD / 'classes'}:{H2_JAR}", "Rounds", "sql", str(WARM_ROUNDS), "0"),
        probes=PROBES,
        options="max-methods=20000",
        # Reduces the noise of garbage collections.
        jvm=["-XX:+UseSerialGC", "-Xms1g", "-Xmx1g", f"-Xlog:safepoint:file={log}:timemillis"],
    )


def arm_and_restore(target: Process, log: Path, probes: list[Probe]) -> tuple[Change, Change]:
    already = len(rounds(target))
    wait_until(lambda: len(rounds(target)) >= already + USUAL_ROUNDS, "usual rounds", 300)
    usual = statistics.median(taken for _, taken in rounds(target)[-USUAL_ROUNDS:])
    start = now_ms()
    with attach(target.pid, "--probe", "*__return") as collector:
        lines = [re.match(r"armed [\d,]+ probes of [\d,]+ methods in (\d+) ms", one) for one in collector.err]
        line = next(filter(None, lines))
        armed = window(target, log, start, float(line[1]), usual)
        start = now_ms()
        collector.signal(signal.SIGINT)
        dormant = probe_pb2.PROBE_STATE_DORMANT
        wait_until(lambda: all(live.state == dormant for live in read_live(probes)), "all dormant", 300)
        restored = window(target, log, start, now_ms() - start, usual)
        assert collector.wait(300) == 0
    return armed, restored


def window(target: Process, log: Path, start: float, took: float, usual: float) -> Change:
    """Waits for the window's end and returns the effect since `start`, in ms of the epoch."""
    time.sleep(max(0.0, WINDOW_SECONDS - (now_ms() - start) / 1e3))
    slowest = max(taken for ended, taken in rounds(target) if ended >= start)
    return Change(took, safepoints_since(log, start), slowest, usual)


def safepoints_since(log: Path, start: float) -> list[float]:
    """Returns the durations in ms of the safepoints of retransformations that ended since `start`."""
    stops = [(float(one[1]), int(one[2]) / 1e6) for one in map(SAFEPOINT.search, lines_of(log)) if one]
    return [taken for ended, taken in stops if ended >= start]


def lines_of(log: Path) -> list[str]:
    return log.read_text().splitlines()


def rounds(target: Process) -> list[tuple[float, float]]:
    """Returns the program's rounds so far: the end in ms of the epoch, and the duration in ms."""
    lines = [line.split() for line in list(target.out)]
    return [(float(line[0]), float(line[1]) / 1e6) for line in lines if len(line) == 2]


def now_ms() -> float:
    return 1e3 * time.time()

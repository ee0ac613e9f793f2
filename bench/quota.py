"""What a program still does while it is attached to, where it gets little of the machine.

A bench of run.py's: `.venv/bin/python bench/run.py quota`, some fifteen minutes. The program is the worst
there is, tests/targets/Mill.java: it does nothing but call a method of a nanosecond, whose return probe is
attached to at the default limit. It runs in a cgroup with a CPU quota; jcollect runs outside, on the same
CPUs.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from cgroup import Cgroup
from conditions import wait_until
from java_target import JDKS, ROOT, Jdk, Process, java, jcollect, run
from throughput import SECOND_NS, Throughput

BUILD = ROOT / "build/bench/quota"
CORES = (0.1, 0.3, 0.6, 1.0, 2.0)
THREADS = (1, 8)
TURNS = 3
WINDOW_SECONDS = 5
# Undisturbed before each turn, attached, and until what was compiled is compiled anew.
CALM_SECONDS = 6
ATTACHED_SECONDS = 14
AFTER_SECONDS = 5
WARM_SECONDS = 5


def work(target: Process, seconds: float) -> tuple[int, int]:
    """Lets it work; from when to when, of its own clock."""
    began = Throughput(target).last
    wait_until(lambda: Throughput(target).last >= began + seconds * SECOND_NS, "the mill to go on", 10 * seconds)
    return began, Throughput(target).last


def turn(target: Process) -> dict[str, Any]:
    """Undisturbed, attached, undisturbed."""
    calm, began = work(target, CALM_SECONDS)
    collector = jcollect("attach", target.pid, "--probe", "*grain__return")
    with collector:
        collector.wait_for_line("armed |jcollect: warning: throttled")
        attached = Throughput(target).last
        work(target, ATTACHED_SECONDS)
        collector.signal(2)
        assert collector.wait() == 0, collector.err
    _, ended = work(target, AFTER_SECONDS)
    done = Throughput(target)
    usual = done.rounds(calm, began) / (began - calm)
    per_cpu = done.rounds(calm, began) / done.cpu_ns(calm, began)
    armed = next(line for line in collector.err if "armed" in line)

    def least(seconds: float, of_cpu: bool) -> float:
        return min(
            done.rounds(*span) / (done.cpu_ns(*span) * per_cpu if of_cpu else seconds * SECOND_NS * usual)
            for span in done.spans(began, ended, seconds)
        )

    return {
        "rounds": usual * WINDOW_SECONDS * SECOND_NS,
        "cores": done.cpu_ns(calm, began) / (began - calm),
        "least": least(WINDOW_SECONDS, False),
        "least_of_cpu": least(WINDOW_SECONDS, True),
        "worst_second": least(1, False),
        "armed": armed,
        "summary": collector.err[-1],
    }


def quota(jdk: Jdk, cores: tuple[float, ...] = CORES, threads: tuple[int, ...] = THREADS, turns: int = TURNS) -> Any:
    BUILD.mkdir(parents=True, exist_ok=True)
    compiler = next(each for each in JDKS if Path(each.javac).exists())
    compiled = run(compiler.javac, "--release", "11", "-d", BUILD, ROOT / "tests/targets/Mill.java")
    assert compiled.returncode == 0, compiled.stderr
    found = []
    for share in cores:
        for count in threads:
            with Cgroup("jprobe-bench") as group:
                group.limit(share)
                with java(
                    jdk,
                    "-cp",
                    BUILD,
                    "Mill",
                    str(count),
                    probes="Mill#grain",
                    before=group.starting(),
                    guarded=True,
                ) as target:
                    target.wait_for_line("ready", 120)
                    wait_until(lambda t=target: len(Throughput(t).rows) > 2, "reports", 60)
                    work(target, WARM_SECONDS)
                    each = [turn(target) for _ in range(turns)]
                    err = list(target.err)
                    target.send("")
                    target.wait()
            one = {
                "cores": share,
                "threads": count,
                "rounds": statistics.median(a["rounds"] for a in each),
                "least": statistics.median(a["least"] for a in each),
                "least_of_cpu": statistics.median(a["least_of_cpu"] for a in each),
                "worst_second": statistics.median(a["worst_second"] for a in each),
                "turns": each,
            }
            found.append(one)
            print(
                f"quota {jdk}: {share} cores, {count} threads: {one['rounds']:,.0f} rounds in 5 s; attached at least "
                f"{one['least']:.2f} of that (worst of {turns}: {min(a['least'] for a in each):.2f}), "
                f"by its CPU time {one['least_of_cpu']:.2f} ({min(a['least_of_cpu'] for a in each):.2f}), in a second "
                f"{one['worst_second']:.2f}", flush=True)
            for a in each:
                print("   ", f"{a['cores']:.2f} {a['least']:.2f} {a['least_of_cpu']:.2f} {a['worst_second']:.2f}", a["armed"], "|", a["summary"])
            print("   ", err)
    return found


if __name__ == "__main__":
    import sys
    which = [j for j in JDKS if str(j.version) in sys.argv[1].split(",")]
    for jdk in which:
        quota(jdk, tuple(map(float, sys.argv[2].split(","))), tuple(map(int, sys.argv[3].split(","))), int(sys.argv[4]))

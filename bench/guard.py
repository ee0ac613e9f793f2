"""Measures how well the overhead guard keeps its limit, and the error of its estimate of a hit's cost.

A bench of bench/run.py: `guard`, about two minutes on each JDK. The program is tests/targets/Torrent.java:
one thread calls a method of 0.1 us, at full speed or at a fixed rate. Its loss is the CPU time beyond what
the same number of calls took before the tracer attached.
"""

from __future__ import annotations

import json
from typing import Any

from conditions import wait_until
from java_target import COMPILER, JCOLLECT, ROOT, Jdk, Process, finish, java, jcollect, run
from torrent import SECOND_NS, WINDOW_SECONDS, Reports

BUILD = ROOT / "build/bench/guard"
# Reports of 0.1 s each: until all code is compiled, and those that are measured.
WARM_ROWS = 40
MEASURED_ROWS = 350
RATE = 300_000
RATED_ROWS = 150


def rows(target: Process, count: int) -> int:
    """Waits for `count` more reports and returns the time of the last one in ns."""
    before = len(Reports(target).rows)
    wait_until(lambda: len(Reports(target).rows) >= before + count, f"{count} reports", 120)
    return Reports(target).rows[-1][0]


def torrent(jdk: Jdk, limit: int, rate: int | None, measured: int) -> dict[str, Any]:
    """Measures one run with a return probe attached for `measured` reports."""
    with java(
        jdk,
        "-cp",
        BUILD,
        "Torrent",
        "1",
        probes="Torrent#drop",
        options=f"max-overhead={limit}",
        guarded=True,
    ) as target:
        target.wait_for_line("ready")
        if rate is not None:
            target.send(str(rate))
        began = rows(target, WARM_ROWS)
        counts = BUILD / "counts.json"
        with jcollect("attach", target.pid, "--probe", "*__return", "--counts", counts) as collector:
            collector.wait_for_line("armed ")
            settled = rows(target, 1)
            ended = rows(target, measured)
            status = json.loads(run(JCOLLECT, "status", target.pid, "--json").stdout)
            finish(collector)
        rows(target, 5)
        target.send("")
        assert target.wait() == 0
    kept = json.loads(counts.read_text())
    (probe,) = kept["probes"]
    reports = Reports(target)
    hits = probe["counts"]["hits"]
    return {
        "hits": hits,
        "throttled, s": probe["counts"]["throttled_nanos"] / SECOND_NS,
        "estimated, ns per hit": kept["processes"][0]["overhead"]["cost_nanos"] / hits,
        "trap, ns per hit": status["overhead"]["hit_ns"],
        "lost, ns per hit": reports.lost_ns(began, ended) / hits,
        "lost, percent": reports.lost_ns(settled, ended) / (ended - settled) * 100,
        "most lost in 5 s, percent": reports.most_lost_ns(began) / (WINDOW_SECONDS * SECOND_NS) * 100,
        "calls per second": SECOND_NS / reports.call_ns(began),
    }


def guard(jdk: Jdk) -> dict[str, Any]:
    """Measures three limits at full speed, and no limit at 300,000 calls per second."""
    BUILD.mkdir(parents=True, exist_ok=True)
    compiled = run(COMPILER.javac, "--release", "11", "-d", BUILD, ROOT / "tests/targets/Torrent.java")
    assert compiled.returncode == 0, compiled.stderr
    found = {}
    for name, limit in (("no limit", 0), ("50%", 50), ("5%", 5)):
        one = found[name] = torrent(jdk, limit, None, MEASURED_ROWS)
        print(
            f"guard {jdk}: {one['calls per second'] / 1e6:.1f} M calls/s, limit {name}: "
            f"lost {one['lost, percent']:.1f}% of a core, in five seconds at most "
            f"{one['most lost in 5 s, percent']:.1f}%; {one['hits']:,} hits, "
            f"throttled for {one['throttled, s']:.1f} s",
            flush=True,
        )
    rated = found["rated"] = torrent(jdk, 0, RATE, RATED_ROWS)
    for name in ("no limit", "rated"):
        one = found[name]
        print(
            f"guard {jdk}: {name}: {one['hits']:,} hits cost {one['lost, ns per hit']:.0f} ns each, "
            f"estimated {one['estimated, ns per hit']:.0f} ns (the trap {one['trap, ns per hit']} ns)",
            flush=True,
        )
    assert rated["hits"]
    return found

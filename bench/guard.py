"""What the overhead guard promises, and how right it is about what a hit costs.

A bench of run.py's: `.venv/bin/python bench/run.py guard`, about two minutes on each JDK. The program is
tests/targets/Torrent.java: one thread that calls a method of a tenth of a microsecond, at full speed or at
a rate. What it loses is its CPU time beyond that which as many calls took before.
"""

from __future__ import annotations

import json
from typing import Any

from conditions import wait_until
from java_target import COMPILER, JCOLLECT, ROOT, Jdk, Process, finish, java, jcollect, run
from torrent import SECOND_NS, WINDOW_SECONDS, Reports

BUILD = ROOT / "build/bench/guard"
# A tenth of a second each: until all is compiled, and what is looked at.
WARM_ROWS = 40
MEASURED_ROWS = 350
RATE = 300_000
RATED_ROWS = 150


def rows(target: Process, count: int) -> int:
    """Waits for so many reports more; the time of the last."""
    before = len(Reports(target).rows)
    wait_until(lambda: len(Reports(target).rows) >= before + count, f"{count} reports", 120)
    return Reports(target).rows[-1][0]


def torrent(jdk: Jdk, limit: int, rate: int | None, measured: int) -> dict[str, Any]:
    """One run, `measured` reports long with a return probe attached."""
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
        books = BUILD / "books.json"
        with jcollect("attach", target.pid, "--probe", "*__return", "--counts", books) as collector:
            collector.wait_for_line("armed ")
            settled = rows(target, 1)
            ended = rows(target, measured)
            status = json.loads(run(JCOLLECT, "status", target.pid, "--json").stdout)
            finish(collector)
        rows(target, 5)
        target.send("")
        assert target.wait() == 0
    kept = json.loads(books.read_text())
    (probe,) = kept["probes"]
    reports = Reports(target)
    return {
        "hits": probe["counts"]["hits"],
        "throttled_s": probe["counts"]["throttled_nanos"] / SECOND_NS,
        "estimated_ns": kept["processes"][0]["overhead"]["cost_nanos"],
        "hit_ns": status["overhead"]["hit_ns"],
        "lost_ns": reports.lost_ns(began, ended),
        "lost_percent": reports.lost_ns(settled, ended) / (ended - settled) * 100,
        "most_lost_percent": reports.most_lost_ns(began) / (WINDOW_SECONDS * SECOND_NS) * 100,
        "calls_a_second": SECOND_NS / reports.call_ns(began),
        "rows": reports.rows,
    }


def guard(jdk: Jdk) -> dict[str, Any]:
    BUILD.mkdir(parents=True, exist_ok=True)
    compiled = run(COMPILER.javac, "--release", "11", "-d", BUILD, ROOT / "tests/targets/Torrent.java")
    assert compiled.returncode == 0, compiled.stderr
    found = {}
    for name, limit in (("no limit", 0), ("50%", 50), ("5%", 5)):
        one = found[name] = torrent(jdk, limit, None, MEASURED_ROWS)
        print(
            f"guard {jdk}: {one['calls_a_second'] / 1e6:.1f} M calls/s, limit {name}: "
            f"lost {one['lost_percent']:.1f}% of a core, in five seconds at most "
            f"{one['most_lost_percent']:.1f}%; {one['hits']:,} hits, throttled {one['throttled_s']:.1f} s",
            flush=True,
        )
    rated = found["rated"] = torrent(jdk, 0, RATE, RATED_ROWS)
    for name in ("no limit", "rated"):
        one = found[name]
        lost, estimated = one["lost_ns"] / one["hits"], one["estimated_ns"] / one["hits"]
        print(
            f"guard {jdk}: {name}: {one['hits']:,} hits cost {lost:.0f} ns each, "
            f"estimated {estimated:.0f} ns ({one['hit_ns']} ns the trap)",
            flush=True,
        )
    assert rated["hits"]
    return found

"""Measures what `--explain` costs: a switch between threads, a system call and a page fault of a watched
process and of others, and the collector per record, per call and per event.

A bench of bench/run.py: `explaining`, about 40 seconds. The program is targets/kernel_work.c, pinned to one
CPU.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from event_batches import Event, batch, probe  # noqa: E402
from java_target import Process  # noqa: E402
from jcollect.layout.threads import (  # noqa: E402
    CALL_PART_CPU,
    THREAD_KIND_BLOCKED,
    THREAD_KIND_RUNNING,
    THREAD_KIND_WOKEN,
    THREAD_RECORD_SIZE,
    ThreadRecord,
)
from jcollect.limits import MAX_COLLECTOR_PROBES  # noqa: E402
from jcollect.sources.threads.explainer import CallExplainer  # noqa: E402
from jcollect.sources.threads.history import ThreadHistory  # noqa: E402
from jcollect.sources.threads.programs import RING_BYTES  # noqa: E402
from jcollect.workers import Failures  # noqa: E402
from programs import BUILD  # noqa: E402
from ring_image import RingImage, header  # noqa: E402

ROUNDS = 9
# Work by kind, and its part: enough for 0.1 s.
WORK = {"switch": ("cpu", 60_000), "syscall": ("syscalls", 300_000), "fault": ("faults", 100_000)}
IDLE_SECONDS = 5.0
THREADS, SWITCHES, CALLS, BATCHES = 100, 400_000, 20_000, 1_000
# In one reading.
MOST_RECORDS = 100_000


def explaining() -> dict[str, Any]:
    """Measures all of it."""
    return {**_in_the_kernel(), **_idle(), **_in_the_collector()}


def _in_the_kernel() -> dict[str, Any]:
    binary = BUILD / "kernel_work"
    binary.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / "bench/targets/kernel_work.c"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", binary, source], check=True)
    found: dict[str, list[float]] = {}
    with Process([binary]) as target:
        target.wait_for_line("ready")
        for kind, (part, count) in WORK.items():
            for _ in range(ROUNDS):
                for name, pid in (("alone", None), ("not watched", 0), ("watched", target.pid)):
                    with _explainer(part, pid) if pid is not None else contextlib.nullcontext():
                        target.send(f"{kind} {count}")
                        nanos = float(target.wait_for_line(r"\d"))
                    found.setdefault(f"{kind}, {name}, ns", []).append(nanos)
            for name in ("alone", "not watched", "watched"):
                key = f"{kind}, {name}, ns"
                print(f"explaining: {key}: {statistics.median(found[key]):.0f}", flush=True)
    return found


@contextlib.contextmanager
def _explainer(part: str, pid: int) -> Iterator[CallExplainer]:
    explainer = CallExplainer([part], MAX_COLLECTOR_PROBES, 0)
    try:
        explainer.start(Failures())
        if pid:
            explainer.watch(pid)
        yield explainer
    finally:
        explainer.close()


def _idle() -> dict[str, Any]:
    """Measures the collector's thread while no watched process does anything."""
    with _explainer("cpu", 0):
        began = time.process_time()
        time.sleep(IDLE_SECONDS)
        percent = 100 * (time.process_time() - began) / IDLE_SECONDS
    print(f"explaining: reading nothing: {percent:.2f}% of a core", flush=True)
    return {"reading nothing, % of a core": percent}


def _in_the_collector() -> dict[str, Any]:
    """Measures the history, of threads that block all the time: each record, and each call in batches."""
    chance = random.Random(1)
    history = ThreadHistory(1 << 16)
    records = []
    for number in range(SWITCHES):
        tid, at = 1000 + number % THREADS, 1_000_000_000 + number * 10_000
        for offset, kind in (
            (0, THREAD_KIND_BLOCKED),
            (3_000_000 // THREADS, THREAD_KIND_WOKEN),
            (4_000_000 // THREADS, THREAD_KIND_RUNNING),
        ):
            records.append(ThreadRecord(time=at + offset, tid=tid, kind=kind, value=at - 1))
    times = []
    for first in range(0, len(records), MOST_RECORDS):
        part = b"".join(
            header(THREAD_RECORD_SIZE) + bytes(each) for each in records[first : first + MOST_RECORDS]
        )
        with RingImage(part, data_bytes=RING_BYTES) as image:
            began = time.thread_time()
            history.read(image.ring.memory)
            times.append((time.thread_time() - began) * (THREAD_RECORD_SIZE + 8) / len(part) * 1e9)
    found: dict[str, Any] = {"ns per record": times}
    print(f"explaining: {statistics.median(times):.0f} ns per record", flush=True)
    last = SWITCHES * 10_000 + 1_000_000_000
    for name, micros in (("1 ms", 1_000), ("1 s", 1_000_000)):
        tids = np.array([1000 + chance.randrange(THREADS) for _ in range(CALLS)], np.uint32)
        starts = np.array([last - chance.randrange(10**9) - micros * 1000 for _ in range(CALLS)], np.uint64)
        durations = np.full(CALLS, micros * 1000, np.uint64)
        times = []
        for _ in range(ROUNDS):
            began = time.thread_time()
            history.explain(
                CALL_PART_CPU, tids, starts, durations, np.zeros(CALLS, np.uint64), np.zeros(CALLS, np.bool_)
            )
            times.append((time.thread_time() - began) / CALLS * 1e9)
        found[f"ns per call of {name}"] = times
        print(f"explaining: {statistics.median(times):.0f} ns per call of {name}", flush=True)
    return {**found, **_of_batches(history, last)}


def _of_batches(history: ThreadHistory, last: int) -> dict[str, Any]:
    """Measures the stage of the hub: events of calls of 1 ms, in batches of many and of one. The ring buffer,
    which it reads as well, is empty."""
    chance = random.Random(2)
    now = [0]
    explainer = CallExplainer(["cpu"], MAX_COLLECTOR_PROBES, 0, clock=lambda: now[0])
    found: dict[str, Any] = {}
    try:
        explainer._history = history
        described = probe(0, pid=os.getpid())
        explainer.watch(described.pid)
        explainer.unwatch(described.pid)
        explainer.describe([described])
        now[0] = last
        for size in (CALLS, 1):
            starts = [last - chance.randrange(10**9) - 1_000_000 for _ in range(size)]
            events = batch(
                [
                    Event(
                        described,
                        (),
                        1_000_000,
                        start + 1_000_000,
                        1,
                        1000 + chance.randrange(THREADS),
                        start,
                    )
                    for start in starts
                ]
            )
            times = []
            for _ in range(ROUNDS):
                turns = max(1, BATCHES // size)
                began = time.thread_time()
                for _ in range(turns):
                    explainer.apply(events)
                times.append((time.thread_time() - began) / (turns * size) * 1e9)
            name = f"ns per event in batches of {size}"
            found[name] = times
            print(f"explaining: {statistics.median(times):.0f} {name}", flush=True)
        counts = explainer.counts()
        # Calls that cannot be explained cost less. A few threads have no CPU when their call begins.
        assert counts.explained > 0.9 * (counts.explained + counts.unknown), counts
    finally:
        explainer.close()
    return found

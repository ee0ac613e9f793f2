"""Runs tests/targets/Shares.java under `--explain`, and compares the explanations with what the kernel says
about the thread: its CPU clock, and its time in the run queue."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from java_target import Jdk, attach, finish, java

KINDS = ("sleep", "spin", "mixed", "lock", "faults", "collect", "outer", "recurse")
METHODS = "sleep,spin,mixed,lock,faults,collect,outer,inner,recurse"
# The kernel's numbers are read before and after a call, which takes this time itself, in ns; and the thread's
# first call of a kind runs in the interpreter.
_READING_NS = 50_000
# The truth of a call is not known if its thread was interrupted for longer while it asked the kernel.
_MOST_READING_NS = 400_000
_SHARE = 0.01


@dataclass(frozen=True)
class Truth:
    """One call as the program and the kernel have measured it, in ns."""

    kind: str
    duration: int
    reading: int
    on_cpu: int
    run_queue: int
    faults: int

    @property
    def off_cpu(self) -> int:
        return self.duration - self.on_cpu - self.run_queue


@dataclass(frozen=True)
class Shares:
    """The calls of one run by their number: what the kernel says, and all events of the method."""

    truths: dict[int, Truth]
    events: dict[int, list[dict[str, Any]]]
    status: str

    def of_kind(self, kind: str) -> list[tuple[Truth, dict[str, Any]]]:
        """Returns each call of a kind with its outermost event, which is the last one. Leaves out calls whose
        truth is not known, because the thread was interrupted while it asked the kernel."""
        return [
            (truth, self.events[number][-1])
            for number, truth in self.truths.items()
            if truth.kind == kind and truth.reading < _MOST_READING_NS
        ]

    def errors(self, kind: str) -> dict[str, float]:
        """Returns the median error of each share, in ns."""
        found = [
            (truth, event["explain"])
            for truth, event in self.of_kind(kind)
            if "on_cpu_ns" in event["explain"]
        ]
        assert found, f"no {kind} is explained"
        shares: dict[str, Callable[[Truth], int]] = {
            "on_cpu_ns": lambda truth: truth.on_cpu,
            "run_queue_ns": lambda truth: truth.run_queue,
            "off_cpu_ns": lambda truth: truth.off_cpu,
        }
        return {
            key: median(abs(explained[key] - of(truth)) for truth, explained in found)
            for key, of in shares.items()
        }

    def most_error(self, kind: str) -> float:
        """Returns the error that is allowed at the median: 1% of the duration, or the time of reading. That
        is longer on a busy machine: what the kernel says is no more exact."""
        truths = [truth for truth, _ in self.of_kind(kind)]
        duration = median(truth.duration for truth in truths)
        return max(_READING_NS, _SHARE * duration, median(truth.reading for truth in truths))


def run_shares(
    jdk: Jdk,
    targets: Path,
    lane: str,
    kinds: Sequence[tuple[str, int]],
    explain: str = "all",
    jvm: Sequence[str] = (),
    before: Sequence[str] = (),
) -> Shares:
    """Makes calls of these kinds, each a number of times."""
    methods = [f"Shares#{name}" for name in METHODS.split(",")]
    selected = [part for method in methods for part in ("--select", method)]
    with java(jdk, *jvm, "-cp", targets, "Shares", before=before) as target:
        target.wait_for_line("ready")
        with attach(target.pid, *selected, "--lane", lane, "--explain", explain, "-o", "json",
                    "--probe", "*__return") as collector:  # fmt: skip
            for kind, count in kinds:
                target.send(f"{kind} {count}")
                target.wait_for_line(f"done {kind}")
            status = finish(collector)
            lines = list(collector.out)
        truths = {}
        for line in target.out:
            if line.startswith("truth "):
                _, kind, number, *values = line.split()
                truths[int(number)] = Truth(kind, *map(int, values))
    events: dict[int, list[dict[str, Any]]] = {}
    for event in map(json.loads, lines):
        # The others are those of the JVM's safepoints.
        if event["kind"] == "return":
            events.setdefault(event["value"], []).append(event)
    return Shares(truths, events, status)

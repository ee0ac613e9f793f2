"""Measures how many events per second of one thread reach a gRPC client through the direct lane, none lost,
and what each process spends on them.

A bench of bench/run.py: `direct-reading`, about three minutes on each JDK. The program is targets/Lanes.java;
`reading` measures the kernel lane.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import reading
from conditions import wait_until
from java_target import Jdk, Process, attach, java, probes_of
from programs import BUILD

# Calls per second; 0: as fast as the thread can.
RATES = (1_000_000, 2_000_000, 3_000_000, 4_000_000, 6_000_000, 0)
SECONDS = 4.0
WARM = "1000000 2"
# The default, and rings that bridge longer pauses of a collector that gets no CPU.
RING_SIZES = ("16m", "64m")
# A thread that runs, or waits for a CPU, for more of the time than this has no time left for other events.
SATURATED = 0.9


class Times(NamedTuple):
    """Time in s that a thread has run, and that it has waited for a CPU."""

    ran: float
    waited: float


def thread_times(pid: int) -> dict[int, Times]:
    """Returns the times of each thread of a process."""
    times = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # It has ended.
            ran, waited = (task / "schedstat").read_text().split()[:2]
            times[int(task.name)] = Times(int(ran) / 1e9, int(waited) / 1e9)
    return times


class Cpu:
    """CPU time of some processes since it was made."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self._before = {name: thread_times(pid) for name, pid in processes.items()}
        self._began = time.monotonic()

    def cores(self) -> dict[str, float]:
        """Returns the cores that each process has used, and for its busiest thread also the share of the time
        in which it waited for one."""
        seconds = time.monotonic() - self._began
        found = {}
        for name, pid in self._processes.items():
            nothing = Times(0, 0)
            used = [
                Times(after.ran - before.ran, after.waited - before.waited)
                for task, after in thread_times(pid).items()
                for before in [self._before[name].get(task, nothing)]
            ]
            busiest = max(used)
            found[f"{name}, cores"] = sum(each.ran for each in used) / seconds
            found[f"{name}, busiest thread, cores"] = busiest.ran / seconds
            found[f"{name}, busiest thread waiting for a CPU, cores"] = busiest.waited / seconds
        return found


@contextlib.contextmanager
def subscriber(address: str) -> Iterator[Process]:
    with Process([sys.executable, reading.__file__, "subscribe", address]) as client:
        client.wait_for_line("subscribed")
        yield client


def made(target: Process, wanted: str, seconds: float) -> tuple[int, float]:
    """Lets the program call, and returns the number of its calls and the time that they took in s."""
    target.send(wanted)
    calls, taken = target.wait_for_line("made ", 2 * seconds + 30).split()[1:]
    return int(calls), float(taken)


def measure(jdk: Jdk, rate: int, has_client: bool, ring_size: str) -> dict[str, float]:
    """Measures one rate, with a gRPC client or with the collector alone."""
    address = f"unix://{BUILD}/direct-reading.sock"
    with contextlib.ExitStack() as stack:
        command = ("-cp", BUILD / "classes", "Lanes", "rate", 0)
        target = stack.enter_context(
            java(jdk, *command, probes="Lanes#add", options=f"ring-size={ring_size}")
        )
        target.wait_for_line("ready")
        wait_until(lambda: probes_of(target.pid), "its probes")
        options = ("--lane", "direct", "--probe", "*__return", "--listen", address)
        collector = stack.enter_context(attach(target.pid, *options))
        processes = {"program": target.pid, "collector": collector.pid}
        if has_client:
            client = stack.enter_context(subscriber(address))
            processes["client"] = client.pid
        warm_calls, _ = made(target, WARM, 2)
        cpu = Cpu(processes)
        calls, taken = made(target, f"{rate} {SECONDS}", SECONDS)
        cores = cpu.cores()
        collector.signal(signal.SIGINT)
        assert collector.wait() == 0, collector.err
        received = int(client.wait_for_line(r"\d+$")) if has_client else 0
    lost = losses(next(line for line in collector.err if " hits = " in line))
    every = warm_calls + calls
    if has_client:
        lost["lost before the client"] = every - received - sum(lost.values())
    return {
        "calls per second": calls / taken,
        "calls": every,
        "received": received,
        **lost,
        **cores,
        "collector, us per event": cores["collector, cores"] * taken / calls * 1e6,
    }


def losses(counts: str) -> dict[str, float]:
    """Returns the events lost at each stage, by the last line of `jcollect attach`."""
    stages = {
        "lost in the rings": r"direct rings ([\d,]+)",
        "lost in the collector": r"collector ([\d,]+)\)",
        "lost by the subscription": r"([\d,]+) events lost",
    }
    found = {stage: re.search(pattern, counts) for stage, pattern in stages.items()}
    return {stage: int(match[1].replace(",", "")) if match else 0 for stage, match in found.items()}


def lost(one: dict[str, float]) -> float:
    return sum(value for name, value in one.items() if name.startswith("lost "))


def limit(one: dict[str, float]) -> str:
    """Names what kept a rate with losses from being reached without."""
    stage = max((name for name in one if name.startswith("lost ")), key=one.__getitem__)
    full = []
    for who in ("program", "collector", "client"):
        ran = one.get(f"{who}, busiest thread, cores", 0.0)
        waited = one.get(f"{who}, busiest thread waiting for a CPU, cores", 0.0)
        if ran + waited > SATURATED:
            full.append(
                f"a thread of the {who}, which ran {ran:.0%} of the time and waited {waited:.0%} for a CPU"
            )
    return f"{stage}; saturated: {' and '.join(full) or 'nothing'}"


def shares(alone: dict[str, float], client: dict[str, float]) -> dict[str, float]:
    """Returns the CPU time of each stage in us per event."""

    def us(one: dict[str, float], what: str) -> float:
        return one[f"{what}, cores"] / one["calls per second"] * 1e6

    drain = us(alone, "collector")
    return {
        "writer, us per event": us(client, "program, busiest thread"),
        "drain, us per event": drain,
        "encoding and gRPC, us per event": us(client, "collector") - drain,
        "client, us per event": us(client, "client"),
        "collector's busiest thread, us per event": us(client, "collector, busiest thread"),
    }


def raise_rate(
    jdk: Jdk, who: str, has_client: bool, ring_size: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Measures all rates, and returns all figures and those of the highest rate without a loss."""
    found: dict[str, Any] = {}
    best: dict[str, float] = {"calls per second": 0}
    limits = []
    for rate in RATES:
        name = f"{who}, {rate / 1e6:g} M/s" if rate else f"{who}, at full speed"
        one = found[name] = measure(jdk, rate, has_client, ring_size)
        if lost(one):
            limits.append(limit(one))
        else:
            best = max(best, one, key=lambda each: each["calls per second"])
        print(
            f"direct-reading {jdk}: {name}: {one['calls per second'] / 1e6:.2f} M events/s, lost "
            f"{lost(one):,.0f} of {one['calls']:,.0f}, {one['collector, us per event']:.3f} us of the "
            "collector's CPU per event",
            flush=True,
        )
    reached = limits[0] if limits else "the program"
    found[f"{who}, none lost"] = {"events per second": best["calls per second"], "limit": reached}
    print(
        f"direct-reading {jdk}: {who}: {best['calls per second'] / 1e6:.2f} M events/s, none lost; "
        f"limit: {reached}",
        flush=True,
    )
    return found, best


def direct_reading(jdk: Jdk) -> dict[str, Any]:
    """Raises the rate until events are lost, with a client and without."""
    found, alone = raise_rate(jdk, "collector alone", False, RING_SIZES[0])
    best = []
    for size in RING_SIZES:
        more, of_size = raise_rate(jdk, f"client, rings of {size}", True, size)
        found |= more
        best.append(of_size)
    if alone["calls per second"] and best[0]["calls per second"]:
        stages = found["stages"] = shares(alone, best[0])
        for stage, us in stages.items():
            print(
                f"direct-reading {jdk}: {stage}: {us:.3f}; {1 / us:.1f} M events/s on a whole CPU", flush=True
            )
    return found

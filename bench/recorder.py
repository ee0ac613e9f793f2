"""Measures how many events per second of one thread `jcollect record` writes without a loss, how large they
become, and what each process spends on them.

A bench of bench/run.py: `recording`, about a minute on each JDK. The program is targets/Lanes.java; the file
is in the system's directory for temporary files.
"""

from __future__ import annotations

import contextlib
import re
import signal
import tempfile
from pathlib import Path
from typing import Any

from conditions import wait_until
from direct_reading import WARM, Cpu, losses, lost, made
from java_target import Jdk, java, jcollect, probes_of
from programs import BUILD

# Calls per second.
RATES = (500_000, 1_000_000, 2_000_000, 4_000_000)
SECONDS = 5.0


def measure(jdk: Jdk, rate: int, folder: Path) -> dict[str, float]:
    """Measures one rate."""
    path = folder / f"{rate}.jprec"
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(
            java(jdk, "-cp", BUILD / "classes", "Lanes", "rate", 0, probes="Lanes#add")
        )
        target.wait_for_line("ready")
        wait_until(lambda: probes_of(target.pid), "its probes")
        options = ("-w", path, "--lane", "direct", "--probe", "*__return")
        recorder = stack.enter_context(jcollect("record", target.pid, *options))
        recorder.wait_for_line("armed ")
        warm_calls, _ = made(target, WARM, 2)
        cpu = Cpu({"program": target.pid, "recorder": recorder.pid})
        calls, taken = made(target, f"{rate} {SECONDS}", SECONDS)
        cores = cpu.cores()
        recorder.signal(signal.SIGINT)
        assert recorder.wait() == 0, recorder.err
    said = next(line for line in recorder.err if line.startswith("recorded "))
    found = re.search(r"recorded ([\d,]+) events? .*\(([\d,]+) bytes", said)
    assert found is not None, said
    events, size = (int(number.replace(",", "")) for number in found.groups())
    lost_by_stage = losses(next(line for line in recorder.err if " hits = " in line))
    assert events + sum(lost_by_stage.values()) == warm_calls + calls, recorder.err
    return {
        "calls per second": calls / taken,
        "recorded": events,
        **lost_by_stage,
        "bytes per event": size / events,
        **cores,
        "recorder, us per event": cores["recorder, cores"] * taken / calls * 1e6,
    }


def recording(jdk: Jdk) -> dict[str, Any]:
    """Measures all rates."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="jprobe-recording-") as folder:
        for rate in RATES:
            one = results[f"{rate:,} calls/s"] = measure(jdk, rate, Path(folder))
            print(
                f"recording {rate:,}/s: {one['calls per second']:,.0f}/s, {lost(one):,.0f} lost, "
                f"{one['bytes per event']:.1f} bytes per event, recorder {one['recorder, cores']:.2f} cores",
                flush=True,
            )
    return results

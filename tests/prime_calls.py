"""The program PrimeCalls, and the traces that an agent in it must not leave."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

from java_target import ORDERS_PROBES, Jdk, Process, java
from threads import thread_names

ORDERS_METHODS = ORDERS_PROBES // 3


def prime_calls(jdk: Jdk, targets: Path, *jvm: str, **options: str) -> Process:
    """Yields the program, started and waiting for its first command."""
    target = java(jdk, "-cp", targets, "PrimeCalls", jvm=jvm, **options)
    target.wait_for_line("ready")
    return target


def run_calls(target: Process) -> dict[str, int]:
    """Makes the program run all its calls once; returns how often each probe must have been hit."""
    target.send("run")
    tallies: dict[str, int] = json.loads(target.wait_for_line(r"\{", 120))
    return tallies


def hits_of(tallies: dict[str, int]) -> int:
    """Returns the hits of all probes of the orders: each call also ends, and each thread makes an object."""
    return 2 * (4 + sum(tallies[f"{name}.entry"] for name in ("place", "place2", "depth", "label", "touch")))


def leftovers(pid: int) -> list[str]:
    """Returns what a shut-down agent must not leave: threads, directories, mapped stub libraries.

    Ignores files older than the process, which belong to others: PIDs are reused, and PID namespaces share
    directories.
    """
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    inner = status.partition("NSpid:")[2].splitlines()[0].split()[-1]
    directories = [process / "root" / directory for directory in ("tmp", "var/tmp", "dev/shm")]
    return [
        *(name for name in thread_names(pid) if name.startswith("jprobe")),
        *(str(file) for directory in directories for name in (f"jprobe-{inner}-*", f"jprobe-load-{inner}-*")
          for file in directory.glob(name) if is_younger(file, pid)),
        *(line for line in (process / "maps").read_text().splitlines()
          if re.search(r"/jprobe-\d+-[0-9a-f]{16}/\d+\.so$", line)),
    ]  # fmt: skip


def is_younger(file: Path, pid: int) -> bool:
    """Returns true if a file was created after the process started; false if the file was removed."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    age = float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    try:
        return file.lstat().st_ctime > time.time() - age - 1
    except FileNotFoundError:
        return False

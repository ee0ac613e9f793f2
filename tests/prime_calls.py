"""The program PrimeCalls, and what an agent in it may not leave behind."""

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
    """The program, started and waiting for its first command."""
    target = java(jdk, "-cp", targets, "PrimeCalls", jvm=jvm, **options)
    target.wait_for_line("ready")
    return target


def run_calls(target: Process) -> dict[str, int]:
    """Has it make its calls, once; how often which probe of it must have been hit."""
    target.send("run")
    tallies: dict[str, int] = json.loads(target.wait_for_line(r"\{", 120))
    return tallies


def hits_of(tallies: dict[str, int]) -> int:
    """Of all probes of the orders: each call ends as well, and each thread makes one object."""
    return 2 * (4 + sum(tallies[f"{name}.entry"] for name in ("place", "place2", "depth", "label", "touch")))


def leftovers(pid: int) -> list[str]:
    """What an agent that has ended must not leave: threads, directories, stub libraries in use.

    What is older than the process is another's: PIDs come back, and PID namespaces share directories.
    """
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    inner = status.partition("NSpid:")[2].splitlines()[0].split()[-1]
    places = [process / "root" / place for place in ("tmp", "var/tmp", "dev/shm")]
    return [
        *(name for name in thread_names(pid) if name.startswith("jprobe")),
        *(str(file) for place in places for name in (f"jprobe-{inner}-*", f"jprobe-load-{inner}-*")
          for file in place.glob(name) if is_younger(file, pid)),
        *(line for line in (process / "maps").read_text().splitlines()
          if re.search(r"/jprobe-\d+-[0-9a-f]{16}/\d+\.so$", line)),
    ]  # fmt: skip


def is_younger(file: Path, pid: int) -> bool:
    """Whether a file was made since the process has started. False of one that has gone meanwhile."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    age = float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    try:
        return file.lstat().st_ctime > time.time() - age - 1
    except FileNotFoundError:
        return False

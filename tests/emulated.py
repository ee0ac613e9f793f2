"""JVMs for aarch64 that qemu-user runs on x86_64: `make emulated-jdk` fetches them.

qemu translates their code, so no uprobe that the kernel places is ever executed.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from conditions import miss
from java_target import ROOT, Jdk

EMULATOR = "qemu-aarch64-static"
EMULATED_ROOT = ROOT / "build/aarch64/root"
# Emulated code is about ten times slower, and so is starting.
EMULATED_SECONDS = 120.0


def emulated_jdk() -> Jdk:
    """Returns Debian's JDK 17 for aarch64; skips the test where there is none."""
    found = sorted((EMULATED_ROOT / "usr/lib/jvm").glob("java-17-openjdk-*/bin/java"))
    if platform.machine() != "x86_64":
        miss("emulation takes x86_64")
    if not found or shutil.which(EMULATOR) is None:
        miss("no emulated JDK; run: make emulated-jdk")
    return Jdk(found[0].parents[1], 17)


def emulator() -> tuple[str, ...]:
    """Returns the start of a command line: see `before` of java_target.java."""
    return EMULATOR, "-L", str(EMULATED_ROOT)


def is_translated(pid: int) -> bool:
    """Returns true if an emulator executes the process's program."""
    return Path(f"/proc/{pid}/exe").resolve().name == EMULATOR

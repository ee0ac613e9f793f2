"""The names of system calls by number. The kernel never gives a number another meaning."""

from __future__ import annotations

import functools
import platform
from pathlib import Path


def syscall_name(number: int) -> str:
    """Returns the name of a system call of this machine: "futex"; "syscall 999" for one that is newer."""
    return _names().get(number, f"syscall {number}")


@functools.cache
def _names() -> dict[int, str]:
    """Reads the table that `asm/unistd.h` has for this machine."""
    file = Path(__file__).with_name(f"syscalls_{platform.machine()}.txt")
    if not file.is_file():
        return {}
    rows = (line.split() for line in file.read_text().splitlines())
    return {int(number): name for number, name in rows}

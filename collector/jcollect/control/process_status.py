"""Reads what the kernel reports about a process in /proc/PID/status and stat.

Imports nothing but the standard library.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from typing import NamedTuple

_MAX_BYTES = 1 << 16


class ProcessStatus(NamedTuple):
    """`uids` and `gids` are the real, effective, saved and file system IDs, as seen from here.

    `inner_pid` is the PID in the innermost PID namespace. `start_time`, in clock ticks since the machine's
    start, distinguishes processes of the same PID. `catches_quit` is true if SIGQUIT does not end the
    process.
    """

    uids: tuple[int, ...]
    gids: tuple[int, ...]
    inner_pid: int
    start_time: int
    catches_quit: bool


def read_status(pid: int) -> ProcessStatus:
    """Returns the status. Raises OSError if there is no such process.

    The two files describe one process if a pidfd that was opened before is still alive afterwards.
    """
    with open(f"/proc/{pid}/status", errors="replace") as file:
        lines = file.read(_MAX_BYTES).splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    with open(f"/proc/{pid}/stat", "rb") as stat:
        start_time = int(stat.read(_MAX_BYTES).rpartition(b")")[2].split()[19])
    return ProcessStatus(
        uids=tuple(map(int, fields["Uid"].split())),
        gids=tuple(map(int, fields["Gid"].split())),
        inner_pid=int(fields.get("NSpid", str(pid)).split()[-1]),
        start_time=start_time,
        catches_quit=bool(int(fields["SigCgt"], 16) >> signal.SIGQUIT - 1 & 1),
    )


def check_lives(process: int) -> None:
    """Raises ProcessLookupError if the process of a pidfd has ended."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if poll.poll(0):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

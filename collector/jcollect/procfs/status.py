"""Reads /proc/PID/status and /proc/PID/stat. The kernel answers both itself, and at once.

Imports only the standard library, because functions that run apart use it.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from typing import NamedTuple

# A process may be in 65,536 groups, which status lists.
_MAX_BYTES = 1 << 20


class ProcessStatus(NamedTuple):
    """The status of a process at one moment.

    `name` is its command name. `group` is the PID of its process: another number if a thread's ID was read.
    `inner_pid` is the PID in the innermost PID namespace. `uids` and `gids` are the real, effective, saved
    and file system IDs, as seen from here. `catches_quit` is true if SIGQUIT does not end the process.
    """

    name: str
    group: int
    inner_pid: int
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    catches_quit: bool


class Stat(NamedTuple):
    """The command name, the state as a letter, and the start in clock ticks since boot."""

    name: str
    state: str
    start_time: int


def read_fields(process: int | str) -> dict[str, str]:
    """Returns the lines of the status of a process, or of "self", by name. Raises OSError."""
    with open(f"/proc/{process}/status", "rb", buffering=0) as file:
        lines = file.read(_MAX_BYTES).decode(errors="replace").split("\n")
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def read_status(pid: int) -> ProcessStatus:
    """Returns the status. Raises OSError if there is no such process."""
    fields = read_fields(pid)
    try:
        return ProcessStatus(
            name=fields["Name"],
            group=int(fields["Tgid"]),
            inner_pid=int(fields.get("NSpid", str(pid)).split()[-1]),
            uids=tuple(map(int, fields["Uid"].split())),
            gids=tuple(map(int, fields["Gid"].split())),
            catches_quit=bool(int(fields["SigCgt"], 16) >> signal.SIGQUIT - 1 & 1),
        )
    except KeyError:
        # The process exited while the kernel printed it.
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None


def read_stat(pid: int) -> Stat:
    """Returns fields 2, 3 and 22 of proc_pid_stat(5). Raises OSError if there is no such process."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        # The name may hold anything, including blanks and parentheses.
        before, _, after = file.read(4096).rpartition(b")")
    fields = after.split()
    if len(fields) < 20:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return Stat(before.partition(b"(")[2].decode(errors="replace"), fields[0].decode(), int(fields[19]))


def check_alive(pidfd: int) -> None:
    """Raises ProcessLookupError if the process of a pidfd has exited."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if poll.poll(0):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

"""Reads /proc/PID/status and /proc/PID/stat. The kernel answers both itself, and at once.

Imports only the standard library, because functions that run apart use it.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from typing import NamedTuple

_PIECE_BYTES = 1 << 13
_MOST_ANCESTORS = 256
_PF_EXITING = 0x4  # include/linux/sched.h


class ProcessStatus:
    """The status of a process at one moment. Each property parses its line: a scan of all processes needs
    few of them. All raise ProcessLookupError if the line is missing because the process exited."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def name(self) -> str:
        """The command name."""
        return self._field(b"Name:\t").decode(errors="replace")

    @property
    def group(self) -> int:
        """The PID of the process: another number if a thread's ID was read."""
        return int(self._field(b"\nTgid:\t"))

    @property
    def inner_pid(self) -> int:
        """The PID in the innermost PID namespace."""
        return int(self._field(b"\nNSpid:\t").split()[-1])

    @property
    def is_nested(self) -> bool:
        """True if the process is in another PID namespace than this one."""
        return len(self._field(b"\nNSpid:\t").split()) > 1

    @property
    def uids(self) -> tuple[int, ...]:
        """The real, effective, saved and file system user IDs, as seen from here."""
        return tuple(map(int, self._field(b"\nUid:\t").split()))

    @property
    def gids(self) -> tuple[int, ...]:
        """The real, effective, saved and file system group IDs, as seen from here."""
        return tuple(map(int, self._field(b"\nGid:\t").split()))

    @property
    def catches_quit(self) -> bool:
        """True if SIGQUIT does not end the process."""
        return bool(int(self._field(b"\nSigCgt:\t"), 16) >> signal.SIGQUIT - 1 & 1)

    def _field(self, key: bytes) -> bytes:
        start = self._content.find(key) + len(key)
        if start < len(key):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return self._content[start : self._content.find(b"\n", start)]


class Stat(NamedTuple):
    """The command name, the state as a letter, the start in clock ticks since boot, the parent's PID, and
    whether the kernel takes the process down."""

    name: str
    state: str
    start_time: int
    parent: int
    is_exiting: bool


def read_fields(process: int | str) -> dict[str, str]:
    """Returns the lines of the status of a process, or of "self", by name. Raises OSError."""
    lines = _read(process).decode(errors="replace").split("\n")
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def read_status(pid: int) -> ProcessStatus:
    """Returns the status. Raises OSError if there is no such process."""
    return ProcessStatus(_read(pid))


def _read(process: int | str) -> bytes:
    file = os.open(f"/proc/{process}/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = piece = os.read(file, _PIECE_BYTES)
        # A process may be in 65,536 groups, which are listed.
        while len(piece) == _PIECE_BYTES:
            piece = os.read(file, _PIECE_BYTES)
            content += piece
        return content
    finally:
        os.close(file)


def read_stat(pid: int) -> Stat:
    """Returns fields 2, 3, 4, 9 and 22 of proc_pid_stat(5). Raises OSError if there is no such process."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        # The name may hold anything, including blanks and parentheses.
        before, _, after = file.read(4096).rpartition(b")")
    fields = after.split()
    if len(fields) < 20:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    name = before.partition(b"(")[2].decode(errors="replace")
    is_exiting = bool(int(fields[6]) & _PF_EXITING)
    return Stat(name, fields[0].decode(), int(fields[19]), int(fields[1]), is_exiting)


def is_descendant(pid: int, top: int) -> bool:
    """Returns true if a process is another one, or was started by it or its descendants, which still run."""
    for _ in range(_MOST_ANCESTORS):
        if pid == top:
            return True
        try:
            pid = read_stat(pid).parent
        except OSError:
            return False
        if pid <= 1:
            return False
    return False


def check_alive(pidfd: int) -> None:
    """Raises ProcessLookupError if the process of a pidfd has exited."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if poll.poll(0):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

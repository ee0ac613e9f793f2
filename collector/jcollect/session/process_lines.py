"""Prints all lines about single processes, and limits their number for each process and each user.

A process can cause any of these lines at any rate.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jcollect.budget import Bucket
from jcollect.console import status, warn
from jcollect.procfs.process import Process

# Lines at once, and the seconds between further lines.
PROCESS_LINES, PROCESS_SECONDS = 20, 10.0
USER_LINES, USER_SECONDS = 200, 1.0
MAX_LINE = 1000
_FORGET_SECONDS = 120.0


@dataclass
class _Quota:
    """The lines that may be printed about one process or one user."""

    lines: int
    seconds: float
    left_out: int = 0
    since: float = 0.0
    used: float = 0.0
    bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = Bucket(1 / self.seconds, self.lines)

    def has_room(self, now: float) -> bool:
        # A sum of floats may end up just below 1.
        return self.bucket.left(now) > 0.999

    def leave_out(self, now: float, lines: int = 1) -> None:
        self.since = self.since if self.left_out else now
        self.left_out += lines


class ProcessLines:
    """Prints lines about processes on stderr. For any thread; `catch_up` must be called regularly."""

    def __init__(self, warning: Callable[[str], None] = warn, saying: Callable[[str], None] = status) -> None:
        self._warning = warning
        self._saying = saying
        self._lock = threading.Lock()
        self._processes: dict[int, _Quota] = {}
        self._users: dict[int, _Quota] = {}
        self._owners: dict[int, int] = {}

    def about(self, process: Process) -> Callable[[str], None]:
        """Returns a function that warns about a process."""
        return lambda message: self.warn(process, message)

    def warn(self, process: Process, message: str) -> None:
        self._print(process, lambda: self._warning(_truncated(message)))

    def say(self, process: Process, line: str) -> None:
        """Prints a line that is not a warning."""
        self._print(process, lambda: self._saying(_truncated(line)))

    def _print(self, process: Process, write: Callable[[], None]) -> None:
        now = time.monotonic()
        with self._lock:
            its, user = self._quotas(process)
            its.used = user.used = now
            if its.left_out or not its.has_room(now):
                its.leave_out(now)
                return
            if user.left_out or not user.has_room(now):
                user.leave_out(now)
                return
            its.bucket.take(1, now)
            user.bucket.take(1, now)
        write()

    def catch_up(self, is_over: bool = False) -> None:
        """Prints how many lines were left out, for each process and user that may have a line again; for all
        if `is_over`."""
        now = time.monotonic()
        lines = []
        with self._lock:
            for pid, quota in self._processes.items():
                user = self._users[self._owners[pid]]
                if not quota.left_out or not (is_over or quota.has_room(now)):
                    continue
                if user.left_out or not user.has_room(now):
                    user.leave_out(now, quota.left_out)  # They are reported among the user's.
                else:
                    quota.bucket.take(1, now)
                    user.bucket.take(1, now)
                    lines.append(_summary(quota, f"PID {pid}", now))
                quota.left_out = 0
            for uid, quota in self._users.items():
                if quota.left_out and (is_over or quota.has_room(now)):
                    quota.bucket.take(1, now)
                    lines.append(_summary(quota, f"processes of user {uid}", now))
                    quota.left_out = 0
            self._forget(now)
        for line in lines:
            self._warning(line)

    def _quotas(self, process: Process) -> tuple[_Quota, _Quota]:
        pid = process.pid
        if pid not in self._processes:
            self._processes[pid] = _Quota(PROCESS_LINES, PROCESS_SECONDS)
            self._owners[pid] = process.owner
        uid = self._owners[pid]
        if uid not in self._users:
            self._users[uid] = _Quota(USER_LINES, USER_SECONDS)
        return self._processes[pid], self._users[uid]

    def _forget(self, now: float) -> None:
        for pid, quota in list(self._processes.items()):
            if not quota.left_out and now - quota.used > _FORGET_SECONDS:
                del self._processes[pid], self._owners[pid]
        used = set(self._owners.values())
        for uid, quota in list(self._users.items()):
            if uid not in used and not quota.left_out and now - quota.used > _FORGET_SECONDS:
                del self._users[uid]


def _summary(quota: _Quota, whom: str, now: float) -> str:
    lines = f"{quota.left_out:,} more line" + ("" if quota.left_out == 1 else "s")
    return f"... and {lines} about {whom} in the last {max(1.0, now - quota.since):.0f} s"


def _truncated(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"

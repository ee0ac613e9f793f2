"""Processes as jcollect opens them, and some that exist only for tests."""

from __future__ import annotations

import os

from jcollect.procfs.process import Process
from jcollect.procfs.status import ProcessStatus


def opened(pid: int) -> Process:
    """Returns the process of a PID. It is closed when it is no longer referenced."""
    return Process.open(pid)


def ourselves() -> Process:
    return Process.open(os.getpid())


def closed(pid: int, owner: int = 0) -> Process:
    """Returns a process that cannot be read: it counts as exited. Any PID will do."""
    return of_user(pid, -1, (0, 0), owner)


def of_user(pid: int, pidfd: int, user: tuple[int, int], owner: int | None = None) -> Process:
    """Returns a process that appears to have had this user and group when it was opened."""
    uid, gid = user
    uids, gids = (" ".join([str(each)] * 4) for each in (uid, gid))
    lines = f"Name:\t?\nTgid:\t{pid}\nNSpid:\t{pid}\nUid:\t{uids}\nGid:\t{gids}\n"
    return Process(pid, pidfd, ProcessStatus(lines.encode()), uid if owner is None else owner)

"""What /proc says of the process that is to be commanded: whose it is, and whether it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from jcollect.control import stub_directory
from jcollect.control.process_status import ProcessStatus, check_lives, read_status
from jcollect.errors import JcollectError
from jcollect.probes.process import check_exists, is_stopped
from jcollect.procfs.apart import apart
from jcollect.procfs.identity import Identity

_KINDS = ("real", "effective", "saved", "file system's")


@dataclass(frozen=True)
class Target:
    """A process at one moment. `user` is the only user that it runs as, in every respect, as seen from here.

    `inner_pid` is its PID in the innermost PID namespace. `start_time` (clock ticks) distinguishes it from
    other processes of the same PID. `catches_quit` is true if SIGQUIT, which asks the JVM to open its attach
    socket, would not end it.
    """

    pid: int
    inner_pid: int
    user: Identity
    start_time: int
    is_stopped: bool
    catches_quit: bool


def read_target(pid: int) -> Target:
    """Returns the target. Raises JcollectError if there is no such process, or it runs as several users."""
    check_exists(pid)
    try:
        with _pidfd(pid) as process:
            status = read_status(pid)
            stopped = is_stopped(pid)
            check_lives(process)
    except OSError:
        raise JcollectError(f"PID {pid} has exited") from None
    return Target(
        pid=pid,
        inner_pid=status.inner_pid,
        user=_user_of(pid, status),
        start_time=status.start_time,
        is_stopped=stopped,
        catches_quit=status.catches_quit,
    )


@contextlib.contextmanager
def held(target: Target) -> Iterator[int]:
    """Yields a pidfd of the target, never of another process with its PID. Raises JcollectError."""
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(_pidfd(target.pid))
            is_it = read_status(target.pid).start_time == target.start_time
            check_lives(process)
        except OSError:
            is_it = False
        if not is_it:
            raise JcollectError(f"PID {target.pid} has exited")
        yield process


def exists(pid: int, directory: str) -> bool:
    """Returns true if a directory of the process exists, or if that cannot be determined.

    Raises JcollectError if the process has exited.
    """
    try:
        return bool(apart(pid, stub_directory.exists, pid, directory, user=read_target(pid).user).content)
    except OSError:
        return True


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def _user_of(pid: int, status: ProcessStatus) -> Identity:
    for name, numbers in (("user", status.uids), ("group", status.gids)):
        if len(set(numbers)) != 1:
            several = ", ".join(f"{kind} {number}" for kind, number in zip(_KINDS, numbers, strict=False))
            raise JcollectError(
                f"PID {pid} has several {name} IDs ({several}), as a set-user-ID program has; "
                "jcollect commands a process of one user and one group alone"
            )
    return Identity(status.uids[0], status.gids[0])

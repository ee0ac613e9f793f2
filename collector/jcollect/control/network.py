"""Runs code in the network namespace of another process, which has its own loopback."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import TypeVar

from jcollect.procfs.process import Process
from jcollect.workers import Worker

_CLONE_NEWNET = 0x40000000
# Time for an action to end by its own limit.
_LATE_SECONDS = 1.0

_Result = TypeVar("_Result")
_libc = ctypes.CDLL(None, use_errno=True)


def in_network_of(process: Process, action: Callable[[], _Result], seconds: float = 30.0) -> _Result:
    """Returns the action's result, or raises its error. Sockets that it creates stay in that namespace.

    Raises OSError if the namespace cannot be entered, which requires CAP_SYS_ADMIN, and TimeoutError if the
    action does not end within `seconds`.
    """
    path = f"/proc/{process.pid}/ns/net"
    is_ours = os.path.samestat(os.stat(path), os.stat("/proc/self/ns/net"))
    process.check_alive()
    if is_ours:
        return action()
    results: list[_Result] = []
    problems: list[BaseException] = []

    # setns(2) moves one thread, which ends afterwards.
    def run() -> None:
        try:
            _enter(process, path)
            results.append(action())
        except BaseException as problem:
            problems.append(problem)

    if not Worker(f"enter the network of PID {process.pid}", run).start().join(seconds + _LATE_SECONDS):
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path)
    if problems:
        raise problems[0]
    return results[0]


def _enter(process: Process, path: str) -> None:
    # Python 3.12 and later have os.setns.
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        process.check_alive()
        if _libc.setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(namespace)

"""Does something in the network namespace of another process, whose loopback is not ours."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import TypeVar

from jcollect.workers import Worker

_CLONE_NEWNET = 0x40000000
# An action that has a limit of its own ends by that.
_LATE_SECONDS = 1.0

_Result = TypeVar("_Result")
_libc = ctypes.CDLL(None, use_errno=True)


def in_network_of(pid: int, action: Callable[[], _Result], seconds: float = 30.0) -> _Result:
    """What the action gives, or raises. Sockets that it makes stay in that namespace for ever.

    Raises OSError where the namespace cannot be entered: that takes CAP_SYS_ADMIN. TimeoutError where the
    action does not end within so many seconds.
    """
    place = f"/proc/{pid}/ns/net"
    if os.path.samestat(os.stat(place), os.stat("/proc/self/ns/net")):
        return action()
    results: list[_Result] = []
    problems: list[BaseException] = []

    # setns(2) moves one thread; ending it is the way back.
    def run() -> None:
        try:
            _enter(place)
            results.append(action())
        except BaseException as problem:
            problems.append(problem)

    if not Worker(f"enter the network of PID {pid}", run).start().join(seconds + _LATE_SECONDS):
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), place)
    if problems:
        raise problems[0]
    return results[0]


def _enter(place: str) -> None:
    # os.setns comes with Python 3.12.
    namespace = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), place)
    finally:
        os.close(namespace)

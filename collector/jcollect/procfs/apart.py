"""Runs functions apart, in a reader process that is abandoned when it does not answer.

A process can hold up whoever opens its files or reads its memory for as long as it likes, by a file system of
its own (FUSE): whoever waits for that cannot be killed, and no process ends that has a thread which waits. So
nothing of the collector itself walks a path of a target, or reads its memory: reader processes do.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jcollect.procfs.identity import Identity
from jcollect.procfs.reader_process import Answer as Answer
from jcollect.procfs.reader_process import ReaderProcess
from jcollect.procfs.status import effective_user

# A page that comes from a busy disk takes less.
PATIENCE_SECONDS = 5.0

_MOST_IDLE = 4
# Readers at work at one time; further calls wait for one.
_MOST_AT_WORK = 16
_MOST_HELD_BY_USER = 8
# By all of them: beyond it root's own processes alone are read, for a user namespace has thousands of users.
_MOST_HELD = 64


class _Held(NamedTuple):
    """A reader that was killed and may not have ended, and the process that holds it, and its user."""

    pid: int
    aside: bool
    user: int
    reader: ReaderProcess


_lock = threading.Lock()
_at_work = threading.BoundedSemaphore(_MOST_AT_WORK)
_idle: list[ReaderProcess] = []
_held: list[_Held] = []


def apart(
    pid: int,
    function: Callable[..., bytes | bytearray | tuple[bytes, Sequence[int]]],
    *arguments: object,
    seconds: float = PATIENCE_SECONDS,
    user: Identity | None = None,
    descriptors: Sequence[int] = (),
    aside: bool = False,
) -> Answer:
    """Returns what a function of a module returns: bytes, or bytes and descriptors.

    `pid` is the process that is charged with it if that does not end. The function is found by its name, in
    a module that imports nothing but the standard library and others of its kind. It gets the arguments
    and, where `descriptors` are given, a list of their numbers in the reader. With `user` it runs as that
    one, with no right of ours but to look into other user namespaces. `aside` is for what a process can do
    without: if it does not end, the process is read all the same, but not aside. For any thread.

    Raises the OSErrors that the function raises, TimeoutError if it does not end in time and for as long as
    it does not. A user's processes have half the time for each reader that he holds already.
    """
    seconds /= 1 << _check_not_held(pid, aside)
    if not _at_work.acquire(timeout=seconds):
        raise OSError(errno.EAGAIN, f"too much is read at this moment for PID {pid} to be read as well")
    request = (function.__module__, function.__qualname__, arguments, user)
    try:
        return _ask(pid, aside, request, descriptors, seconds)
    finally:
        _at_work.release()


def _ask(
    pid: int, aside: bool, request: tuple[Any, ...], descriptors: Sequence[int], seconds: float
) -> Answer:
    reader = _take_idle() or ReaderProcess()
    try:
        return reader.ask(request, descriptors, seconds)
    except TimeoutError:
        raise _timed_out(pid) from None
    except EOFError:
        raise OSError(errno.EIO, f"whoever reads PID {pid} was killed") from None
    finally:
        if reader.is_ready:
            _give_back(reader)
        else:
            _abandon(pid, aside, reader)


def _take_idle() -> ReaderProcess | None:
    """One that waits, and was not killed meanwhile."""
    while True:
        with _lock:
            if not _idle:
                return None
            reader = _idle.pop()
        if not reader.has_hung_up():
            return reader
        reader.close()


def _give_back(reader: ReaderProcess) -> None:
    with _lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(reader)
            return
    reader.close()


def _abandon(pid: int, aside: bool, reader: ReaderProcess) -> None:
    reader.kill()
    held = _Held(pid, aside, _user_of(pid), reader)
    with _lock:
        _held.append(held)


def _check_not_held(pid: int, aside: bool) -> int:
    """The number of readers that the process's user holds. Raises TimeoutError where that, or what all hold,
    is too much already."""
    if not _held:
        return 0
    with _lock:
        for each in list(_held):
            if each.reader.has_ended():
                _held.remove(each)
                each.reader.close()
        if not _held:
            return 0
        user = _user_of(pid)
        by_process = any(each.pid == pid and (aside or not each.aside) for each in _held)
        by_user = sum(each.user == user for each in _held)
        is_full = len(_held) >= _MOST_HELD and user != 0
    if by_process or by_user >= _MOST_HELD_BY_USER or is_full:
        raise _timed_out(pid)
    return by_user


def _user_of(pid: int) -> int:
    """-1 of a process that is gone."""
    try:
        return effective_user(pid).uid
    except OSError:
        return -1


def _timed_out(pid: int) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"PID {pid} holds up whoever reads its files and memory")

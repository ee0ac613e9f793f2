"""Runs functions apart, in a reader process that is abandoned if it does not answer.

A process with a file system of its own (FUSE) can block any thread that opens its files or reads its memory,
for any time. The blocked thread cannot be killed, and its process cannot end. So the collector itself never
walks a path of a target or reads its memory: reader processes do. Only they get PIDs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jcollect.procfs.identity import Identity
from jcollect.procfs.process import Process
from jcollect.procfs.reader_process import Answer as Answer
from jcollect.procfs.reader_process import ReaderProcess

# A page from a busy disk takes less.
PATIENCE_SECONDS = 5.0

_MOST_IDLE = 4
# Maximum number of busy readers; further calls wait for one.
_MOST_AT_WORK = 16
_MOST_ABANDONED_BY_USER = 8
# Maximum number of readers that the processes of all users block, because a user namespace has thousands of
# users. Beyond it, only root's own processes are read.
_MOST_ABANDONED = 64


class _Charge(NamedTuple):
    """The process and the user who are charged if a reader is blocked. If only the user is, `pid` is
    negative."""

    pid: int
    aside: bool
    user: int


class _Abandoned(NamedTuple):
    """A killed reader that may not have ended, and its charge."""

    pid: int
    aside: bool
    user: int
    reader: ReaderProcess


_lock = threading.Lock()
_at_work = threading.BoundedSemaphore(_MOST_AT_WORK)
_idle: list[ReaderProcess] = []
_abandoned: list[_Abandoned] = []


def apart(
    process: Process,
    function: Callable[..., bytes | bytearray | tuple[bytes, Sequence[int]]],
    *arguments: object,
    seconds: float = PATIENCE_SECONDS,
    user: Identity | None = None,
    descriptors: Sequence[int] = (),
    aside: bool = False,
    charged: int | None = None,
    must_live: bool = True,
) -> Answer:
    """Returns what a function of a module returns: bytes, or bytes and descriptors.

    `process` is charged if the function does not return. The function is found by its name, in a module that
    imports only the standard library and modules that do the same. It gets the arguments and, with
    `descriptors`, a list of their numbers in the reader. With `user` it runs as that user, and keeps only the
    right to enter other user namespaces. `aside` marks an optional read: if it blocks, the process is still
    read, but not aside. `charged` is the user who can make it block, if that is not the process: only this
    user is charged then. Without `must_live`, the function runs, and its result counts, even if the process
    has exited: that is for functions that work on descriptors, or whose effects have to be undone. For any
    thread.

    Raises the OSErrors that the function raises. Raises ProcessLookupError if the process has exited by the
    time the function returns, because its PID may then be that of another process. Raises TimeoutError if the
    function does not return in time, and at each further call until it does. Each reader that a user's
    processes already block halves the time for that user.
    """
    if must_live:
        process.check_alive()
    pid, owner = process.pid, process.owner
    charge = _Charge(pid, aside, owner) if charged is None else _Charge(-pid, aside, charged)
    seconds /= 1 << _check_not_blocked(charge)
    if not _at_work.acquire(timeout=seconds):
        raise OSError(errno.EAGAIN, f"too many processes are being read for PID {pid} to be read as well")
    request = (function.__module__, function.__qualname__, arguments, user)
    try:
        answer = _ask(charge, request, descriptors, seconds)
    finally:
        _at_work.release()
    if must_live and process.has_exited:
        for descriptor in answer.descriptors:
            os.close(descriptor)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return answer


def start_ahead() -> None:
    """Starts a reader for the first request. If it cannot be started, that request reports the error."""
    with contextlib.suppress(OSError):
        _give_back(ReaderProcess())


def _ask(charge: _Charge, request: tuple[Any, ...], descriptors: Sequence[int], seconds: float) -> Answer:
    reader = _take_idle() or ReaderProcess()
    try:
        return reader.ask(request, descriptors, seconds)
    except TimeoutError:
        raise _timed_out(charge) from None
    except EOFError:
        raise OSError(errno.EIO, f"the process that reads PID {abs(charge.pid)} was killed") from None
    finally:
        if reader.is_ready:
            _give_back(reader)
        else:
            _abandon(charge, reader)


def _take_idle() -> ReaderProcess | None:
    """Returns an idle reader that has not been killed."""
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


def _abandon(charge: _Charge, reader: ReaderProcess) -> None:
    reader.kill()
    abandoned = _Abandoned(*charge, reader)
    with _lock:
        _abandoned.append(abandoned)


def _check_not_blocked(charge: _Charge) -> int:
    """Returns the number of readers that the user's processes block. Raises TimeoutError if the process
    blocks one, or if that number, or the number of all blocked readers, is too large."""
    if not _abandoned:
        return 0
    with _lock:
        for each in list(_abandoned):
            if each.reader.has_ended():
                _abandoned.remove(each)
                each.reader.close()
        if not _abandoned:
            return 0
        by_process = any(each.pid == charge.pid and (charge.aside or not each.aside) for each in _abandoned)
        by_user = sum(each.user == charge.user for each in _abandoned)
        is_full = len(_abandoned) >= _MOST_ABANDONED and charge.user != 0
    if by_process or by_user >= _MOST_ABANDONED_BY_USER or is_full:
        raise _timed_out(charge)
    return by_user


def _timed_out(charge: _Charge) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"timed out reading the files or memory of PID {abs(charge.pid)}")

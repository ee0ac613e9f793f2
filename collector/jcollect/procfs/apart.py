"""Runs functions apart, in a reader process that is abandoned if it does not answer.

A process with a file system of its own (FUSE) can block whoever opens its files or reads its memory, for as
long as it likes. The blocked thread cannot be killed, and its process cannot end. So the collector itself
never walks a path of a target or reads its memory: reader processes do.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jcollect.procfs.identity import Identity
from jcollect.procfs.owner import owner_of
from jcollect.procfs.reader_process import Answer as Answer
from jcollect.procfs.reader_process import ReaderProcess

# Even a page from a busy disk takes less.
PATIENCE_SECONDS = 5.0

_MOST_IDLE = 4
# Maximum number of readers at work at a time; further calls wait for one.
_MOST_AT_WORK = 16
_MOST_HELD_BY_USER = 8
# Maximum number of readers held by all users, because a user namespace has thousands of users. Beyond it,
# only root's own processes are read.
_MOST_HELD = 64


class _Charge(NamedTuple):
    """The process and the user who are charged if a reader is held up. If it is the user alone, `pid` is
    negative."""

    pid: int
    aside: bool
    user: int


class _Held(NamedTuple):
    """A killed reader that may not have ended, and its charge."""

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
    charged: int | None = None,
) -> Answer:
    """Returns what a function of a module returns: bytes, or bytes and descriptors.

    `pid` is the process that is charged if the function does not return. The function is found by its name,
    in a module that imports only the standard library and modules that do the same. It gets the arguments
    and, with `descriptors`, a list of their numbers in the reader. With `user` it runs as that user, and
    keeps only the right to look into other user namespaces. `aside` marks an optional read: if it blocks, the
    process is still read, but not aside. `charged` is the user who can make it block, if that is not the
    process: only this user is charged then. For any thread.

    Raises the OSErrors that the function raises, and TimeoutError if it does not return in time, and until it
    does. Each reader that a user already holds halves the time for that user's processes.
    """
    # Before the process can exit, or execute a program of another user.
    charge = _Charge(pid, aside, owner_of(pid)) if charged is None else _Charge(-pid, aside, charged)
    seconds /= 1 << _check_not_held(charge)
    if not _at_work.acquire(timeout=seconds):
        raise OSError(errno.EAGAIN, f"too much is read at this moment for PID {pid} to be read as well")
    request = (function.__module__, function.__qualname__, arguments, user)
    try:
        return _ask(charge, request, descriptors, seconds)
    finally:
        _at_work.release()


def start_ahead() -> None:
    """Starts a reader for the first request to find. If none can be started, that request reports it."""
    with contextlib.suppress(OSError):
        _give_back(ReaderProcess())


def _ask(charge: _Charge, request: tuple[Any, ...], descriptors: Sequence[int], seconds: float) -> Answer:
    reader = _take_idle() or ReaderProcess()
    try:
        return reader.ask(request, descriptors, seconds)
    except TimeoutError:
        raise _timed_out(charge) from None
    except EOFError:
        raise OSError(errno.EIO, f"whoever reads PID {abs(charge.pid)} was killed") from None
    finally:
        if reader.is_ready:
            _give_back(reader)
        else:
            _abandon(charge, reader)


def _take_idle() -> ReaderProcess | None:
    """Returns an idle reader that was not killed in the meantime."""
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
    held = _Held(*charge, reader)
    with _lock:
        _held.append(held)


def _check_not_held(charge: _Charge) -> int:
    """Returns the number of readers that the process's user holds. Raises TimeoutError if that number, or the
    number that all hold, is already too large."""
    if not _held:
        return 0
    with _lock:
        for each in list(_held):
            if each.reader.has_ended():
                _held.remove(each)
                each.reader.close()
        if not _held:
            return 0
        by_process = any(each.pid == charge.pid and (charge.aside or not each.aside) for each in _held)
        by_user = sum(each.user == charge.user for each in _held)
        is_full = len(_held) >= _MOST_HELD and charge.user != 0
    if by_process or by_user >= _MOST_HELD_BY_USER or is_full:
        raise _timed_out(charge)
    return by_user


def _timed_out(charge: _Charge) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"PID {abs(charge.pid)} holds up whoever reads its files and memory")

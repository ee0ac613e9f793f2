"""Runs functions apart, in a reader process that is abandoned when it does not answer.

A process can hold up whoever opens its files or reads its memory for as long as it likes, by a file system of
its own (FUSE): whoever waits for that cannot be killed, and no process ends that has a thread which waits. So
nothing of the collector itself walks a path of a target, or reads its memory: reader processes do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jcollect.procfs.identity import Identity
from jcollect.procfs.reader import ANSWER, FAILED, REQUEST, receive_with_descriptors
from jcollect.procfs.status import effective_user

# A page that comes from a busy disk takes less.
PATIENCE_SECONDS = 5.0
# More than anything that is read: a stub library.
MAX_ANSWER_BYTES = 80 << 20

_MOST_IDLE = 4
# Readers at work at one time; further calls wait for one.
_MOST_AT_WORK = 16
_MOST_HELD_BY_USER = 8
# By all of them: beyond it root's own processes alone are read, for a user namespace has thousands of users.
_MOST_HELD = 64
_PROGRAM = Path(__file__).with_name("reader.py")
_PIECE_BYTES = 1 << 20
# asm-generic/socket.h; takes CAP_NET_ADMIN.
_SO_SNDBUFFORCE = 32


@dataclass(frozen=True)
class Answer:
    """`descriptors` are the caller's to close."""

    content: bytes
    descriptors: tuple[int, ...] = ()


class _Held(NamedTuple):
    """A reader that was killed and may not have ended, and the process that holds it, and its user."""

    pid: int
    aside: bool
    user: int
    reader: _Reader


_lock = threading.Lock()
_at_work = threading.BoundedSemaphore(_MOST_AT_WORK)
_idle: list[_Reader] = []
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
    deadline = time.monotonic() + seconds / (1 << _check_not_held(pid, aside))
    if not _at_work.acquire(timeout=seconds):
        raise OSError(errno.EAGAIN, f"too much is read at this moment for PID {pid} to be read as well")
    request = (function.__module__, function.__qualname__, arguments, user)
    try:
        return _ask(pid, aside, request, descriptors, deadline)
    finally:
        _at_work.release()


def _ask(
    pid: int, aside: bool, request: tuple[Any, ...], descriptors: Sequence[int], deadline: float
) -> Answer:
    reader = _take_idle() or _Reader()
    try:
        return reader.ask(request, descriptors, deadline)
    except TimeoutError:
        raise _timed_out(pid) from None
    except EOFError:
        raise OSError(errno.EIO, f"whoever reads PID {pid} was killed") from None
    finally:
        if reader.is_ready:
            _give_back(reader)
        else:
            _abandon(pid, aside, reader)


class _Reader:
    """A reader process. `is_ready` says that it has answered all that it was asked."""

    def __init__(self) -> None:
        """Raises OSError where none can be started."""
        ours, its = socket.socketpair()
        with its:
            _widen(its)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_PROGRAM), str(its.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env={},
                    pass_fds=(its.fileno(),),
                    # Ctrl-C is for us; when we go, its socket ends, and so does it.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._socket = ours
        self.is_ready = True

    def ask(self, request: tuple[Any, ...], descriptors: Sequence[int], deadline: float) -> Answer:
        """Raises OSError as the function does, EOFError if the reader ends, TimeoutError."""
        content = pickle.dumps((*request, max(deadline - time.monotonic(), 0)))
        self.is_ready = False
        try:
            self._limit(deadline)
            head = REQUEST.pack(len(content), len(descriptors))
            socket.send_fds(self._socket, [head], list(descriptors))
            self._socket.sendall(content)
            status, answered = self._receive(deadline)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None
        if status == FAILED:
            raise _error(answered.content)
        return answered

    def _receive(self, deadline: float) -> tuple[int, Answer]:
        self._limit(deadline)
        head, received = receive_with_descriptors(self._socket, ANSWER.size)
        try:
            if not head:
                raise EOFError
            status, size, count = ANSWER.unpack(head + self._bytes(ANSWER.size - len(head), deadline))
            if size > MAX_ANSWER_BYTES:
                raise EOFError
            content = self._bytes(size, deadline)
            self.is_ready = True
            if count != len(received):
                # The kernel drops those that there is no room for.
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return status, Answer(content, tuple(received))
        except BaseException:
            for descriptor in received:
                os.close(descriptor)
            raise

    def _bytes(self, size: int, deadline: float) -> bytes:
        pieces = []
        while size:
            self._limit(deadline)
            piece = self._socket.recv(min(size, _PIECE_BYTES << 2))
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _limit(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()

    def has_hung_up(self) -> bool:
        """Neither it nor a child of it has the other end of the socket."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def has_ended(self) -> bool:
        """Says so of its child as well."""
        return self._process.poll() is not None and self.has_hung_up()

    def close(self) -> None:
        """The process ends by itself."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)


def _widen(answers: socket.socket) -> None:
    """Lets an answer of usual size be sent at once: switching to and fro takes longer than copying."""
    with contextlib.suppress(OSError):
        answers.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _PIECE_BYTES << 2)


def _take_idle() -> _Reader | None:
    """One that waits, and was not killed meanwhile."""
    while True:
        with _lock:
            if not _idle:
                return None
            reader = _idle.pop()
        if not reader.has_hung_up():
            return reader
        reader.close()


def _give_back(reader: _Reader) -> None:
    with _lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(reader)
            return
    reader.close()


def _abandon(pid: int, aside: bool, reader: _Reader) -> None:
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
    except (OSError, ValueError, IndexError):
        return -1


def _error(told: bytes) -> OSError:
    number, text, filename = told.split(b"\0", 2)
    words = text.decode(errors="replace")
    return OSError(int(number), words, os.fsdecode(filename)) if filename else OSError(int(number), words)


def _timed_out(pid: int) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"PID {pid} holds up whoever reads its files and memory")

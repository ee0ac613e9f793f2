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
from typing import Any

from jcollect.procfs.identity import Identity
from jcollect.procfs.reader import ANSWER, FAILED, MAX_DESCRIPTORS, REQUEST

# A page that comes from a busy disk takes less.
PATIENCE_SECONDS = 5.0
# More than anything that is read: a stub library.
MAX_ANSWER_BYTES = 80 << 20

_MOST_IDLE = 8
_MOST_HELD_BY_USER = 8
_PROGRAM = Path(__file__).with_name("reader.py")
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Answer:
    """`descriptors` are the caller's to close."""

    content: bytes
    descriptors: tuple[int, ...] = ()


_lock = threading.Lock()
_idle: list[_Reader] = []
# Readers that were killed and may not have ended: the PID they are held by, and its user.
_held: list[tuple[int, int, _Reader]] = []


def apart(
    pid: int,
    function: Callable[..., bytes | tuple[bytes, Sequence[int]]],
    *arguments: object,
    seconds: float = PATIENCE_SECONDS,
    user: Identity | None = None,
    descriptors: Sequence[int] = (),
) -> Answer:
    """Returns what a function of a module returns: bytes, or bytes and descriptors.

    `pid` is the process that is charged with it if that does not end. The function is found by its name, in
    a module that imports nothing but the standard library and others of its kind. It gets the arguments
    and, where `descriptors` are given, a list of their numbers in the reader. With `user` it runs as that
    one, with no right of ours but to look into other user namespaces. For any thread.

    Raises the OSErrors that the function raises, TimeoutError if it does not end in time and for as long as
    it does not.
    """
    deadline = time.monotonic() + seconds
    _check_not_held(pid)
    with _lock:
        reader = _idle.pop() if _idle else None
    request = (function.__module__, function.__qualname__, arguments, user)
    try:
        reader = reader or _Reader()
        answer = reader.ask(request, descriptors, deadline)
    except TimeoutError:
        assert reader is not None
        _abandon(pid, reader)
        raise _timed_out(pid) from None
    except BaseException as error:
        if reader is not None and not reader.is_ready:
            _abandon(pid, reader)
        elif reader is not None:
            _give_back(reader)
        if isinstance(error, EOFError):
            raise OSError(errno.EIO, f"whoever reads PID {pid} was killed") from None
        raise
    _give_back(reader)
    return answer


class _Reader:
    """A reader process. `is_ready` says that it has answered all that it was asked."""

    def __init__(self) -> None:
        """Raises OSError where none can be started."""
        ours, its = socket.socketpair()
        with its:
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
        content = pickle.dumps(request)
        self.is_ready = False
        try:
            self._limit(deadline)
            head = REQUEST.pack(len(content), len(descriptors))
            socket.send_fds(self._socket, [head], list(descriptors))
            self._socket.sendall(content)
            status, answered = self._receive(deadline)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None
        self.is_ready = True
        if status == FAILED:
            raise _error(answered.content)
        return answered

    def _receive(self, deadline: float) -> tuple[int, Answer]:
        self._limit(deadline)
        head, received, _, _ = socket.recv_fds(self._socket, ANSWER.size, MAX_DESCRIPTORS)
        try:
            if not head:
                raise EOFError
            status, size, count = ANSWER.unpack(head + self._bytes(ANSWER.size - len(head), deadline))
            if size > MAX_ANSWER_BYTES or count != len(received):
                raise EOFError
            return status, Answer(self._bytes(size, deadline), tuple(received))
        except BaseException:
            for descriptor in received:
                os.close(descriptor)
            raise

    def _bytes(self, size: int, deadline: float) -> bytes:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            self._limit(deadline)
            count = self._socket.recv_into(view, min(len(view), _PIECE_BYTES))
            if not count:
                raise EOFError
            view = view[count:]
        return bytes(content)

    def _limit(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()

    def has_ended(self) -> bool:
        """Says so of its child as well, which has the other end of the socket too."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return self._process.poll() is not None and bool(poll.poll(0))

    def close(self) -> None:
        """The process ends by itself."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)


def _give_back(reader: _Reader) -> None:
    with _lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(reader)
            return
    reader.close()


def _abandon(pid: int, reader: _Reader) -> None:
    reader.kill()
    user = _user_of(pid)
    with _lock:
        _held.append((pid, user, reader))


def _check_not_held(pid: int) -> None:
    """Raises TimeoutError where the process, or its user, holds too much of us already."""
    if not _held:
        return
    with _lock:
        for each in list(_held):
            if each[2].has_ended():
                _held.remove(each)
                each[2].close()
        if not _held:
            return
        user = _user_of(pid)
        of_process = sum(holder == pid for holder, _, _ in _held)
        of_user = sum(owner == user for _, owner, _ in _held)
    if of_process or of_user >= _MOST_HELD_BY_USER:
        raise _timed_out(pid)


def _user_of(pid: int) -> int:
    """The effective one; -1 of a process that is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            return int(status.read(4096).partition(b"\nUid:")[2].split(maxsplit=2)[1])
    except (OSError, ValueError, IndexError):
        return -1


def _error(told: bytes) -> OSError:
    number, text, filename = told.split(b"\0", 2)
    words = text.decode(errors="replace")
    return OSError(int(number), words, os.fsdecode(filename)) if filename else OSError(int(number), words)


def _timed_out(pid: int) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"PID {pid} holds up whoever reads its files and memory")

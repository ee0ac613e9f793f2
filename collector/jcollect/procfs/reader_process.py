"""The parent's side of a reader process: its requests and answers."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jcollect.procfs.reader import ANSWER, DONE, FAILED, REQUEST, STARTED, receive_with_descriptors

# Larger than anything that is read: a stub library.
MAX_ANSWER_BYTES = 80 << 20

# Takes 40 ms when a CPU is free.
_STARTING_SECONDS = 20.0
_PROGRAM = Path(__file__).with_name("reader.py")
_PIECE_BYTES = 1 << 20
# asm-generic/socket.h; requires CAP_NET_ADMIN.
_SO_SNDBUFFORCE = 32


@dataclass(frozen=True)
class Answer:
    """An answer. The caller closes `descriptors`."""

    content: bytes
    descriptors: tuple[int, ...] = ()


_this_thread = threading.local()


def cpu_seconds() -> float:
    """Returns the CPU time of this thread, and that of readers which have answered it."""
    return time.thread_time() + getattr(_this_thread, "readers", 0.0)


def _charge(seconds: float) -> None:
    _this_thread.readers = getattr(_this_thread, "readers", 0.0) + max(0.0, seconds)


class ReaderProcess:
    """A reader process. `is_ready` is true if it has answered all requests."""

    def __init__(self) -> None:
        """Starts it. Raises OSError if it cannot be started."""
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
                    # Ctrl-C is for jcollect. When jcollect exits, the reader's socket ends, and so does the
                    # reader.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._socket = ours
        self._has_started = False
        self.is_ready = True

    def ask(self, request: tuple[Any, ...], descriptors: Sequence[int], seconds: float) -> Answer:
        """Returns the answer. Raises OSError as the function does, EOFError if the reader ends, and
        TimeoutError if the answer does not come in time."""
        content = pickle.dumps((*request, seconds))
        self.is_ready = False
        try:
            self._wait_until_started()
            deadline = time.monotonic() + seconds
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

    def _wait_until_started(self) -> None:
        """Raises OSError if it takes too long, which is not the fault of the process to be read."""
        if self._has_started:
            return
        self._socket.settimeout(_STARTING_SECONDS)
        try:
            if not self._socket.recv(len(STARTED)):
                raise EOFError
        except TimeoutError:
            raise OSError(errno.EAGAIN, "no reader process has started in time") from None
        self._has_started = True

    def _receive(self, deadline: float) -> tuple[int, Answer]:
        self._limit(deadline)
        head, received = receive_with_descriptors(self._socket, ANSWER.size)
        try:
            if not head:
                raise EOFError
            status, used, size, count = ANSWER.unpack(head + self._bytes(ANSWER.size - len(head), deadline))
            _charge(used)
            if size > MAX_ANSWER_BYTES:
                raise EOFError
            content = self._bytes(size, deadline)
            self._bytes(len(DONE), deadline)
            self.is_ready = True
            if count != len(received):
                # The kernel drops descriptors that exceed the limit.
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
        """Kills it and its child, which another user may have stopped."""
        if self._process.returncode is None:  # Otherwise the number may be another process's.
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def has_hung_up(self) -> bool:
        """Returns true if neither it nor a child of it has the other end of the socket."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def has_ended(self) -> bool:
        """Returns true only if its child has ended as well."""
        return self._process.poll() is not None and self.has_hung_up()

    def close(self) -> None:
        """Closes the socket; the process then ends."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)


def _widen(answers: socket.socket) -> None:
    """Enlarges the buffer so that a usual answer is sent at once: switching back and forth takes longer than
    copying."""
    with contextlib.suppress(OSError):
        answers.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _PIECE_BYTES << 2)


def _error(encoded: bytes) -> OSError:
    number, text, filename = encoded.split(b"\0", 2)
    words = text.decode(errors="replace")
    return OSError(int(number), words, os.fsdecode(filename)) if filename else OSError(int(number), words)

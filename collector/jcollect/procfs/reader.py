"""The program of a reader process: runs functions for apart.py, one after the other, until its socket ends.

    python -I -S reader.py SOCKET

It imports what it is asked to run, and only the standard library and jcollect itself can be imported.
"""

from __future__ import annotations

import array
import contextlib
import errno
import importlib
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

REQUEST = struct.Struct("<QI")  # Numbers of bytes that follow, and of descriptors sent along.
ANSWER = struct.Struct("<BdQI")  # Status, seconds of CPU, and the same numbers.
FINE, FAILED = 0, 1
STARTED = b"\0"  # Sent before everything else.
DONE = b"\0"  # Sent after each answer, when nothing of the request runs any more.
# SCM_MAX_FD of unix(7).
MAX_DESCRIPTORS = 253

_PACKAGES = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
_PIECE_BYTES = 1 << 20
_DESCRIPTOR_BYTES = 4
_MORE_SECONDS = 1.0
# Several times the largest answer.
_MOST_MEMORY_BYTES = 1 << 30


class _Request(NamedTuple):
    module: str
    name: str
    arguments: Sequence[Any]
    descriptors: Sequence[int]

    def load(self) -> None:
        """Imports before the change of user: another user may not be able to read jcollect's own files."""
        with contextlib.suppress(Exception):  # `run` reports the reason.
            importlib.import_module(self.module)

    def run(self) -> Any:
        function = getattr(importlib.import_module(self.module), self.name)
        return function(*self.arguments, *([list(self.descriptors)] if self.descriptors else []))


def receive(connection: socket.socket, size: int) -> bytearray:
    """Returns that many bytes. Raises EOFError if there are fewer, OSError."""
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = connection.recv_into(view, min(len(view), _PIECE_BYTES))
        if not count:
            raise EOFError
        view = view[count:]
    return content


def receive_with_descriptors(connection: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Returns up to that many bytes, and the descriptors that come with them: fewer than were sent if this
    process may have no more. Raises OSError."""
    # Not socket.recv_fds: in Python 3.11 it ignores flags, so that children would inherit the descriptors.
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * _DESCRIPTOR_BYTES)
    content, ancillary, _, _ = connection.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    return content, list(received)


def main() -> None:
    _limit(resource.RLIMIT_AS, _MOST_MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    connection = socket.socket(fileno=int(sys.argv[1]))
    # Comes after the standard library, which other packages next to jcollect must not replace.
    sys.path.append(_PACKAGES)
    # The parent may ignore the signal, or have blocked it in the thread that started this process.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    _confine()
    try:
        connection.sendall(STARTED)
        while True:
            _serve_one(connection)
    except (EOFError, OSError):
        os._exit(0)  # No request can come any more.


def _confine() -> None:
    """Keeps the capabilities that reading needs, and those to become another user."""
    from jcollect.procfs import capabilities as cap
    from jcollect.procfs.seccomp import NEVER_IN_READERS, forbid

    reading = (cap.SYS_PTRACE, cap.CHECKPOINT_RESTORE, cap.DAC_READ_SEARCH)
    # CAP_KILL: the kernel checks if a dying reader may kill its child, which has become another user.
    cap.keep_in_process((*reading, cap.SETUID, cap.SETGID, cap.SETPCAP, cap.KILL))
    forbid(NEVER_IN_READERS)


def _limit(which: int, most: int) -> None:
    """Lowers a limit to that value; the collector may have a lower one already."""
    hard = resource.getrlimit(which)[1]
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(which, (most, most))


def _serve_one(connection: socket.socket) -> None:
    head, descriptors = receive_with_descriptors(connection, REQUEST.size)
    if not head:
        raise EOFError
    size, count = REQUEST.unpack(head + receive(connection, REQUEST.size - len(head)))
    module, name, arguments, user, seconds = pickle.loads(receive(connection, size))
    if count != len(descriptors):
        raise EOFError
    request = _Request(module, name, arguments, descriptors)
    # The requester kills this process in time, unless it was killed itself.
    signal.setitimer(signal.ITIMER_REAL, seconds + 2 * _MORE_SECONDS)
    if user is None:
        _answer(connection, request)
    else:
        _answer_as(user, connection, request, seconds + _MORE_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(DONE)


def _answer_as(user: Any, connection: socket.socket, request: _Request, seconds: float) -> None:
    """Answers in a child, because no process can reliably become another user and return.

    That user may stop the child at any time. The child is killed after `seconds`.
    """
    from jcollect.procfs.identity import become

    request.load()
    reader = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _answer(connection, request, before=lambda: become(user, parent=reader))
            status = 0
        finally:
            os._exit(status)
    if not _ends_in_time(child, connection, seconds):
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
        os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        os._exit(1)  # Half an answer may be in flight.


def _ends_in_time(child: int, connection: socket.socket, seconds: float) -> bool:
    """Returns true when the child has ended; false if it takes too long, or if the requester has exited."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLRDHUP)
    ready = poll.poll(seconds * 1000)
    os.close(ended)
    return [descriptor for descriptor, _ in ready] == [ended]


def _answer(connection: socket.socket, request: _Request, before: Callable[[], None] = lambda: None) -> None:
    content: bytes | bytearray
    given: Iterable[int] = ()
    begun = time.process_time()
    try:
        before()
        result = request.run()
        content, given = result if isinstance(result, tuple) else (result, ())
        status = FINE
    except Exception as error:
        content, status = _encoded(error), FAILED
    passed = list(given)
    head = ANSWER.pack(status, time.process_time() - begun, len(content), len(passed))
    socket.send_fds(connection, [head], passed)
    connection.sendall(content)
    for descriptor in passed:
        os.close(descriptor)


def _encoded(error: Exception) -> bytes:
    if isinstance(error, OSError) and error.errno:
        filename = os.fsencode(error.filename) if isinstance(error.filename, (str, bytes)) else b""
        number, text = error.errno, error.strerror or ""
    else:
        number, text, filename = errno.EIO, f"{type(error).__name__}: {error}", b""
    return b"\0".join((str(number).encode(), text.encode(errors="replace").replace(b"\0", b"?"), filename))


if __name__ == "__main__":
    main()

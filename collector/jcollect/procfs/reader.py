"""The program of a reader process: runs functions for apart.py, one after the other, until its socket ends.

    python -I -S reader.py SOCKET

It imports what it is asked to run, and has the standard library and jcollect itself to import from.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pickle
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

REQUEST = struct.Struct("<QI")  # Bytes that follow, and descriptors that come along.
ANSWER = struct.Struct("<BQI")  # Status, and the same.
FINE, FAILED = 0, 1
# SCM_MAX_FD of unix(7).
MAX_DESCRIPTORS = 253

_PIECE_BYTES = 1 << 20


class _Request(NamedTuple):
    module: str
    name: str
    arguments: Sequence[Any]
    descriptors: Sequence[int]

    def load(self) -> None:
        """While we are who we are: another user may not read jcollect's own files."""
        with contextlib.suppress(Exception):  # `run` says why.
            importlib.import_module(self.module)

    def run(self) -> Any:
        function = getattr(importlib.import_module(self.module), self.name)
        return function(*self.arguments, *([list(self.descriptors)] if self.descriptors else []))


def receive(connection: socket.socket, size: int) -> bytearray:
    """So many bytes. Raises EOFError where there are fewer, OSError."""
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = connection.recv_into(view, min(len(view), _PIECE_BYTES))
        if not count:
            raise EOFError
        view = view[count:]
    return content


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    sys.path.insert(0, str(Path(__file__).parents[2]))
    try:
        while True:
            _serve_one(connection)
    except (EOFError, OSError):
        os._exit(0)  # Nobody asks any more.


def _serve_one(connection: socket.socket) -> None:
    head, descriptors, _, _ = socket.recv_fds(connection, REQUEST.size, MAX_DESCRIPTORS)
    if not head:
        raise EOFError
    size, _ = REQUEST.unpack(head + receive(connection, REQUEST.size - len(head)))
    module, name, arguments, user = pickle.loads(receive(connection, size))
    request = _Request(module, name, arguments, descriptors)
    if user is None:
        _answer(connection, request)
    else:
        _answer_as(user, connection, request)
    for descriptor in descriptors:
        os.close(descriptor)


def _answer_as(user: Any, connection: socket.socket, request: _Request) -> None:
    """In a child, because nobody can become another user and come back, for sure."""
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
    if os.waitpid(child, 0)[1] != 0:
        os._exit(1)  # Half an answer may be on its way.


def _answer(connection: socket.socket, request: _Request, before: Callable[[], None] = lambda: None) -> None:
    content: bytes
    given: Iterable[int] = ()
    try:
        before()
        result = request.run()
        content, given = result if isinstance(result, tuple) else (result, ())
        status = FINE
    except Exception as error:
        content, status = _told(error), FAILED
    passed = list(given)
    head = ANSWER.pack(status, len(content), len(passed))
    socket.send_fds(connection, [head], passed)
    connection.sendall(content)
    for descriptor in passed:
        os.close(descriptor)


def _told(error: Exception) -> bytes:
    if isinstance(error, OSError) and error.errno:
        filename = os.fsencode(error.filename) if isinstance(error.filename, (str, bytes)) else b""
        number, text = error.errno, error.strerror or ""
    else:
        number, text, filename = errno.EIO, f"{type(error).__name__}: {error}", b""
    return b"\0".join((str(number).encode(), text.encode(errors="replace").replace(b"\0", b"?"), filename))


if __name__ == "__main__":
    main()

"""Reads the gateway's answers line by line, with a deadline and a limit: who answers may be hostile."""

from __future__ import annotations

import socket
import time

# A line of 65,000 methods has some 10 MB.
MAX_LINE = 64 << 20
_CHUNK = 1 << 16


class Answers:
    """Takes the place of the stream in a Py4J connection, which waits anew for every byte."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._socket = connection
        self._seconds = seconds
        self._rest = bytearray()

    def readline(self) -> bytes:
        """One line with its end; without, where the other end has closed. Raises OSError, TimeoutError."""
        deadline = time.monotonic() + self._seconds
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > MAX_LINE:
                raise OSError("the answer is too long")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                end = searched - 1
                break
            self._rest += chunk
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        return line

    def close(self) -> None:
        """Nothing: the socket is the connection's."""

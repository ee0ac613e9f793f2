"""A gateway that gives a test's answers: for replies that the real one never sends, and for their display."""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jprobe.v1.control_pb2 import ControlEndpoint, ControlReply

TOKEN = "0123456789abcdef" * 4
Answer = Callable[[list[str]], bytes]


def reply_line(reply: ControlReply) -> bytes:
    """Returns the reply in Py4J's encoding of byte[]."""
    return b"!yj" + base64.b64encode(reply.SerializeToString()) + b"\n"


class StubGateway:
    """Accepts connections on loopback; `commands` holds the lines of each command after authentication."""

    def __init__(self, answer: Answer, token: str = TOKEN, refusal: bytes = b"!x\n") -> None:
        self.commands: list[list[str]] = []
        self._answer = answer
        self._token = token
        self._refusal = refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            if [lines.readline(), lines.readline()] != [b"A\n", f"{self._token}\n".encode()]:
                connection.sendall(self._refusal)
                return
            connection.sendall(b"!yv\n")
            while command := _command(lines):
                self.commands.append(command)
                with suppress(ConnectionError):
                    connection.sendall(self._answer(command))

    def close(self) -> None:
        # Wakes the accepting thread; closing the socket would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _command(lines: Iterator[bytes]) -> list[str]:
    """Returns the lines of one command without its terminator; empty if the client has closed."""
    command = []
    with suppress(ConnectionError):  # The client has not read the whole answer.
        for line in lines:
            if line == b"e\n":
                return command
            command.append(line.decode().rstrip("\n"))
    return []


@contextmanager
def stub_gateway(
    answer: Answer | ControlReply, token: str = TOKEN, refusal: bytes = b"!x\n"
) -> Iterator[StubGateway]:
    reply = answer
    each = (lambda _: reply_line(reply)) if isinstance(reply, ControlReply) else reply
    gateway = StubGateway(each, token, refusal)
    try:
        yield gateway
    finally:
        gateway.close()


def write_endpoint(directory: Path, port: int, token: str = TOKEN, mode: int = 0o600) -> Path:
    """Writes the file by which clients find the gateway."""
    file = directory / "control"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)
    with open(descriptor, "wb") as out:
        out.write(ControlEndpoint(port=port, token=token).SerializeToString())
    return file

"""Accepts connections at a claimed address, and answers each in a thread of its own: one request, one
response."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from http import HTTPStatus

from jcollect.errors import JcollectError
from jcollect.rpc.address import Address
from jcollect.rpc.listening import Claim
from jcollect.web.http_request import (
    MOST_BYTES,
    BadRequestError,
    Request,
    Response,
    read_request,
    write_response,
)
from jcollect.web.slots import Slots
from jcollect.workers import Failures, Worker

# Each has a thread for as long as it takes, at most READ_SECONDS and WRITE_SECONDS besides the answer.
MOST_CONNECTIONS = 16
# Connections that the kernel keeps until they are accepted.
_BACKLOG = 256
# A client that has not read its response by then makes room for others, if they need it.
_READ_SOON_SECONDS = 2.0
# Pause after an error of accept, such as too many open files.
_ERROR_SECONDS = 0.1
_STOP_SECONDS = 2.0
_LINGER_SECONDS = 0.5
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
_LINGER_BYTES = 256 << 10


class HttpServer:
    """Serves from construction until `stop`."""

    def __init__(self, claim: Claim, answer: Callable[[Request], Response], failures: Failures) -> None:
        """`answer` is called in several threads. Raises JcollectError."""
        self._claim = claim
        self._answer = answer
        self._failures = failures
        self._sockets: list[socket.socket] = []
        self._slots = Slots(MOST_CONNECTIONS)
        self._is_over = False
        self._stopping = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self.address: Address = claim.listen(self)
            self._worker = Worker("serve metrics", self._accept, failures).start()
        except BaseException:
            self._close()
            raise

    def add_insecure_port(self, address: str) -> int:
        """Adds an address as gRPC spells it, for the claim; returns the port. Raises RuntimeError, as gRPC
        does."""
        path = address.removeprefix("unix:")
        is_path = path != address
        host, _, port = address.rpartition(":")
        family = socket.AF_UNIX if is_path else socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(listening)
        try:
            if family != socket.AF_UNIX:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(path if is_path else (host.strip("[]"), int(port)))
            listening.listen(_BACKLOG)
        except OSError as error:
            raise RuntimeError(error.strerror) from None
        listening.setblocking(False)
        return 0 if is_path else int(listening.getsockname()[1])

    def stop(self) -> None:
        """Ends all connections that are not being answered, and removes the socket."""
        self._is_over = True
        os.eventfd_write(self._stopping, 1)
        if self._worker.join(_STOP_SECONDS):
            self._close()
        self._claim.release()

    def _close(self) -> None:
        for each in self._sockets:
            each.close()
        os.close(self._stopping)

    def _accept(self) -> None:
        descriptors = [self._stopping, *(each.fileno() for each in self._sockets)]
        while not self._is_over:
            ready, _, _ = select.select(descriptors, [], [])
            for each in self._sockets:
                if each.fileno() in ready:
                    self._accept_one(each)

    def _accept_one(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            return  # The client has disconnected.
        except OSError:
            select.select([self._stopping], [], [], _ERROR_SECONDS)
            return
        self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if not self._slots.take(connection):
            _reject(connection)
            return
        try:
            Worker("answer a scrape", lambda: self._serve(connection), self._failures).start()
        except JcollectError:
            self._slots.release(connection)
            _reject(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                is_head = False
                try:
                    request = read_request(connection)
                    self._slots.be_busy(connection)
                    is_head = request.method == "HEAD"
                    response = self._answer(request)
                except BadRequestError as error:
                    response = error_response(error.status)
                self._slots.wait_for_client(connection, _READ_SOON_SECONDS)
                write_response(connection, response, is_head)
                _linger(connection)
        finally:
            self._slots.release(connection)
            connection.close()


def error_response(status: HTTPStatus, *headers: tuple[str, str], text: str = "") -> Response:
    """Returns a response with a text in place of metrics."""
    return Response(status, f"{text or status.phrase}\n".encode(), headers=headers)


def _reject(connection: socket.socket) -> None:
    """Answers without a thread, and without waiting: a client that has sent no request by now may see a
    reset."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        # The kernel's buffer takes it.
        connection.send(_BUSY)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(MOST_BYTES)


def _linger(connection: socket.socket) -> None:
    """Lets the client read the response: closing a socket with unread bytes would discard it."""
    connection.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + _LINGER_SECONDS
    read = 0
    while read < _LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        more = len(connection.recv(4096))
        if not more:
            return
        read += more

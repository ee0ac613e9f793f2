"""Reads one HTTP request, and writes one response, within bounds of size and time.

The server in Python's library has bounds for each line and for each read, not for a request: a client that
sends a byte now and then would keep its thread for hours. So bytes are read here, and the library only parses
them.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus

from jcollect.web import text_format

# A request of Prometheus has less than 1 KiB.
MOST_BYTES = 8 << 10
# Maximum time from the connection to the end of the request, and for the client to read the response.
READ_SECONDS = 5.0
WRITE_SECONDS = 30.0
_END = b"\r\n\r\n"


class BadRequestError(Exception):
    """The request is answered with `status`."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    accept: str


@dataclass(frozen=True)
class Response:
    status: HTTPStatus
    content: bytes
    content_type: str = text_format.CONTENT_TYPE
    headers: tuple[tuple[str, str], ...] = ()


def read_request(connection: socket.socket) -> Request:
    """Raises BadRequestError, and OSError if the client is too slow or has disconnected."""
    deadline = time.monotonic() + READ_SECONDS
    head = b""
    while _END not in head:
        if len(head) > MOST_BYTES:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        left = deadline - time.monotonic()
        if left <= 0:
            raise BadRequestError(HTTPStatus.REQUEST_TIMEOUT)
        connection.settimeout(left)
        try:
            more = connection.recv(MOST_BYTES)
        except TimeoutError:
            raise BadRequestError(HTTPStatus.REQUEST_TIMEOUT) from None
        if not more:
            raise ConnectionResetError
        head += more
    return _parse(head[: head.index(_END) + len(_END)])


def _parse(head: bytes) -> Request:
    if len(head) > MOST_BYTES:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    line, _, rest = head.partition(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        headers = http.client.parse_headers(io.BytesIO(rest))
    except (ValueError, http.client.HTTPException):
        raise BadRequestError(HTTPStatus.BAD_REQUEST) from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    # A body would be read as a further request by others; here the connection ends.
    if headers.get("Transfer-Encoding") or headers.get("Content-Length", "0") != "0":
        raise BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    accept = ",".join(map(str, headers.get_all("Accept", [])))
    return Request(method, target.partition("?")[0], accept)


def write_response(connection: socket.socket, response: Response, is_head: bool = False) -> None:
    """Raises OSError if the client does not read it in time."""
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.content)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    head = "\r\n".join([*lines, "", ""]).encode("ascii")
    # The time is for all of it: socket.sendall.
    connection.settimeout(WRITE_SECONDS)
    connection.sendall(head if is_head else head + response.content)

"""Hangs up on clients at a Unix socket that do not even read what gRPC has sent.

Where such a socket is full, gRPC cannot send the ping by which it would see that (keepalive.py); for TCP it
has the kernel see to it (TCP_USER_TIMEOUT). A client that is alive and merely does not read its stream is
none of these: its gRPC reads the socket, and has the server wait by HTTP/2's own means.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import time

from jcollect.rpc.keepalive import ANSWER_SECONDS

_LOOK_SECONDS = 2.0
_INT = struct.Struct("i")


class StalledClients:
    """Of this process; `hang_up` is to be called every now and then."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        # By inode: how many bytes the client has left, and since when it is as many, by time.monotonic().
        self._left: dict[int, tuple[int, float]] = {}

    def hang_up(self) -> None:
        """On clients that have left the same bytes for as long as a ping may take."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        left = {}
        for name in _descriptors():
            # Whatever this is, it may be closed meanwhile.
            with contextlib.suppress(OSError):
                if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as connection:
                    if not _is_clients(connection):
                        continue
                    size = _unread(connection)
                    inode = os.fstat(connection.fileno()).st_ino
                    before, since = self._left.get(inode, (0, now))
                    left[inode] = (size, since if size and size == before else now)
                    if now - left[inode][1] > ANSWER_SECONDS:
                        connection.shutdown(socket.SHUT_RDWR)
        self._left = left


def _descriptors() -> list[str]:
    """None, where there is none left to look with."""
    try:
        return os.listdir("/proc/self/fd")
    except OSError:
        return []


def _is_clients(connection: socket.socket) -> bool:
    """Whether it has come from a listening socket, whose name it has. No other has a name here."""
    return (
        connection.family == socket.AF_UNIX
        and bool(connection.getsockname())
        and not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )


def _unread(connection: socket.socket) -> int:
    """SIOCOUTQ: bytes that were written, and that the other end has not read."""
    answer = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(_INT.size))
    return int(_INT.unpack(answer)[0])

"""Disconnects clients of a Unix socket that do not read the socket at all.

If such a socket is full, gRPC cannot send the ping that would detect the dead client (keepalive.py); for TCP
the kernel detects it (TCP_USER_TIMEOUT). A live client that does not read its stream is not affected: its
gRPC library reads the socket, and HTTP/2 flow control makes the server wait.
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

_POLL_SECONDS = 2.0
_INT = struct.Struct("i")


class StalledClients:
    """Watches the connections of this process."""

    def __init__(self) -> None:
        self._polled = time.monotonic()
        # Number of unread bytes by inode, and the time.monotonic() since which it has not changed.
        self._unread: dict[int, tuple[int, float]] = {}

    def disconnect(self) -> None:
        """Disconnects clients that have read nothing for the maximum time of a ping. Must be called
        regularly."""
        now = time.monotonic()
        if now - self._polled < _POLL_SECONDS:
            return
        self._polled = now
        unread = {}
        for name in _descriptors():
            # Another thread may close the descriptor at any time.
            with contextlib.suppress(OSError):
                if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as connection:
                    if not _is_of_client(connection):
                        continue
                    size = _unread_bytes(connection)
                    inode = os.fstat(connection.fileno()).st_ino
                    before, since = self._unread.get(inode, (0, now))
                    unread[inode] = (size, since if size and size == before else now)
                    if now - unread[inode][1] > ANSWER_SECONDS:
                        connection.shutdown(socket.SHUT_RDWR)
        self._unread = unread


def _descriptors() -> list[str]:
    """Returns the open descriptors; an empty list if too many files are open to list them."""
    try:
        return os.listdir("/proc/self/fd")
    except OSError:
        return []


def _is_of_client(connection: socket.socket) -> bool:
    """Returns true for a socket that was accepted. It has the name of the listening socket; no other
    connected Unix socket of this process has a name."""
    return (
        connection.family == socket.AF_UNIX
        and bool(connection.getsockname())
        and not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )


def _unread_bytes(connection: socket.socket) -> int:
    """Returns how many written bytes the peer has not read: SIOCOUTQ, see unix(7)."""
    answer = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(_INT.size))
    return int(_INT.unpack(answer)[0])

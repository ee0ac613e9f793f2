"""A bounded number of connections, each with a thread. Once all are taken, the one that has waited longest
for its client makes room: slow clients cannot keep others out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

# Time for the thread of a dropped connection to notice.
_DROP_SECONDS = 1.0


class Slots:
    """For any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._taken: set[socket.socket] = set()
        # By when it may be dropped.
        self._waiting: dict[socket.socket, float] = {}

    def take(self, connection: socket.socket) -> bool:
        """Takes a slot for a connection whose client is to send a request. Returns false if all others are
        busy."""
        with self._changed:
            if len(self._taken) >= self._most and not self._drop():
                return False
            self._taken.add(connection)
            self._waiting[connection] = time.monotonic()
            return True

    def wait_for_client(self, connection: socket.socket, seconds: float) -> None:
        """Marks a connection that must not be dropped in so many seconds, but later."""
        with self._changed:
            self._waiting[connection] = time.monotonic() + seconds

    def be_busy(self, connection: socket.socket) -> None:
        """Marks a connection whose client waits for an answer: it is not dropped."""
        with self._changed:
            self._waiting.pop(connection, None)

    def release(self, connection: socket.socket) -> None:
        """Must be called before the connection is closed: another one could get its descriptor."""
        with self._changed:
            self._taken.discard(connection)
            self._waiting.pop(connection, None)
            self._changed.notify_all()

    def _drop(self) -> bool:
        """Returns true if a slot has become free."""
        oldest = min(self._waiting, key=self._waiting.__getitem__, default=None)
        if oldest is None or self._waiting[oldest] > time.monotonic():
            return False
        del self._waiting[oldest]
        with contextlib.suppress(OSError):
            # Its thread reads the end, or fails to write.
            oldest.shutdown(socket.SHUT_RDWR)
        return self._changed.wait_for(lambda: len(self._taken) < self._most, _DROP_SECONDS)

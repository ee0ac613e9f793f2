"""A socket between clients and a collector, whose connections a test can cut."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK = 64 << 10


class Relay:
    """Forwards the bytes of each connection at `path` to the socket at `target`, which may change."""

    def __init__(self, path: Path, target: Path) -> None:
        self.target = target
        self.connections = 0
        self.address = f"unix://{path}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.target))
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                self.connections += 1
                self._pairs.append((client, server))
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()

    def cut(self) -> None:
        """Cuts all connections. Bytes on their way are lost."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            self._pairs = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        self.cut()


def _forward(client: socket.socket, server: socket.socket) -> None:
    with client, server, selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        with contextlib.suppress(OSError):
            while True:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    content = key.fileobj.recv(_CHUNK)
                    if not content:
                        return
                    key.data.sendall(content)

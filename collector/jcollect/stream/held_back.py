"""Keeps the books up to date on what the process itself holds back by its probes' conditions."""

from __future__ import annotations

import threading

from jcollect.discovery.live import Gates
from jcollect.stream.accounts import Accounts
from jcollect.stream.columns import U64

# What is held back after the last look at a process that exits is never known.
_SECONDS = 1.0


class HeldBack:
    """Looks once a second from `start` to `finish`, because a process that has exited cannot be asked."""

    def __init__(self, gates: Gates, accounts: Accounts) -> None:
        self._gates = gates
        self._accounts = accounts
        self._before: U64 | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="held back", daemon=True)

    def start(self) -> None:
        """Counts from now on."""
        self._before = self._read()
        self._thread.start()

    def finish(self) -> None:
        """Looks once more; a process that is gone leaves it at the last look."""
        if self._thread.ident is None:
            return
        self._stop.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._stop.wait(_SECONDS):
            self._look()

    def _look(self) -> None:
        now = self._read()
        if now is not None and self._before is not None:
            # Modulo 2**64, as the process counts.
            self._accounts.hold_back(now - self._before)

    def _read(self) -> U64 | None:
        try:
            return self._gates.filtered()
        except OSError:
            return None

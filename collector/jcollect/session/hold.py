"""Programs that wait for this collector: before main, and before each new class runs."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable

from jcollect.control.gateway import Gateway
from jcollect.control.open_gateway import connect
from jcollect.errors import JcollectError
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.process import Process
from jcollect.workers import Worker


class Hold:
    """The programs of a session that wait for it. `descriptor` becomes readable when one has new probes."""

    def __init__(self, on_begin: Callable[[], None]) -> None:
        """`on_begin` is called when a program no longer waits before its first instruction."""
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._on_begin = on_begin
        self._all: list[HeldProgram] = []

    def of(self, process: Process) -> HeldProgram:
        held = HeldProgram(process, self._wake, self._on_begin)
        self._all.append(held)
        return held

    def acknowledge(self) -> None:
        """Makes the descriptor unreadable."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def close(self) -> None:
        """Lets all programs go on."""
        for held in self._all:
            held.close()

    def _wake(self) -> None:
        os.eventfd_write(self.descriptor, 1)


class HeldProgram:
    """One program. A thread of its own tells the agent what is attached, and waits for the answer: the agent
    gives it when a class waits, or after a second. `has_news` is true from then until the next `attached`."""

    def __init__(self, process: Process, wake: Callable[[], None], on_begin: Callable[[], None]) -> None:
        self.has_news = False
        self._process = process
        self._wake = wake
        self._on_begin = on_begin
        self._numbers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._gateway: Gateway | None = None
        self._worker: Worker | None = None
        self._has_ended = False

    def attached(self, libraries: tuple[StubLibrary, ...]) -> None:
        """Reports that all wanted probes of these libraries are attached to. Raises JcollectError if no
        thread can be started."""
        agents = [each.image.manifest.generation for each in libraries if each.is_agents]
        if self._has_ended or not agents:
            return
        is_due = self.has_news or self._worker is None
        self.has_news = False
        if is_due:
            self._numbers.put(max(agents) + 1)
        if self._worker is None:
            self._worker = Worker("tell a program that it is attached to", self._tell).start()

    def close(self) -> None:
        """Lets the program go on."""
        self._has_ended = True
        self._numbers.put(None)
        if self._gateway is not None:
            self._gateway.disconnect()

    def _tell(self) -> None:
        try:
            self._gateway = gateway = connect(self._process)
            if gateway is None:
                return
            with gateway:
                while (number := self._numbers.get()) is not None:
                    self._on_begin_soon()
                    gateway.attached(number)
                    self.has_news = True
                    self._wake()
        except JcollectError:
            pass  # It has exited, or goes on without waiting.
        finally:
            self._has_ended = True

    def _on_begin_soon(self) -> None:
        call, self._on_begin = self._on_begin, lambda: None
        call()

"""Requests to stop a command: a signal, or a limit that was reached."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from jcollect.errors import Interrupted
from jcollect.last_resort import ignore_terminal

# timeout(1) signals a process and then its group. Both signals count as one request.
_ONCE_SECONDS = 0.5


class StopRequest:
    """Handles signals from construction on. For one thread, except `request`.

    The first signal requests a stop. The second one interrupts: it raises Interrupted in the main thread,
    whatever that is doing. Later signals do nothing, so the cleanup is not interrupted.

    `is_immediate` is true after the second signal.
    """

    def __init__(self) -> None:
        # Signal handlers and threads write to it. A threading.Event has a lock: a signal handler that
        # interrupts the holder of that lock would wait for it forever.
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC)
        self._first = float("inf")
        self._first_interrupts = False
        self.is_immediate = False
        self._interrupted: Interrupted | None = None
        self._defers_signals = False
        signal.signal(signal.SIGTERM, self._handle)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)
            elif number == signal.SIGINT and signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
                # A shell ignores both signals in background commands of a script, so that Ctrl-C does not
                # stop these. A signal sent with kill still must.
                signal.signal(number, self._handle)
                ignore_terminal(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.request()
        now = time.monotonic()
        is_first = now < self._first
        self._first = min(self._first, now)
        interrupts = self._first_interrupts if is_first else self._is_second(number, now)
        if self.is_immediate or not interrupts:
            return
        self.is_immediate = True
        self._interrupted = Interrupted(number)
        if not self._defers_signals:
            raise self._interrupted

    def _is_second(self, number: int, now: float) -> bool:
        # A terminal that hangs up does not ask to interrupt the cleanup.
        return number != signal.SIGHUP and now - self._first > _ONCE_SECONDS

    @contextlib.contextmanager
    def signals_deferred(self) -> Iterator[None]:
        """Runs a short block that no signal interrupts. Call `raise_if_interrupted` afterwards."""
        self._defers_signals = True
        try:
            yield
        finally:
            self._defers_signals = False

    @contextlib.contextmanager
    def first_signal_interrupts(self) -> Iterator[None]:
        """Runs a block that even the first signal interrupts, because it needs no cleanup yet."""
        self._first_interrupts = True
        try:
            yield
        finally:
            self._first_interrupts = False

    def raise_if_interrupted(self) -> None:
        """Raises Interrupted if a signal interrupted the command, even if that was caught or deferred."""
        if self._interrupted is not None:
            raise self._interrupted

    def request(self) -> None:
        """Requests a stop. For any thread."""
        os.eventfd_write(self._descriptor, 1)

    def is_requested(self) -> bool:
        return is_readable(self._descriptor)

    def wait(self, seconds: float, *descriptors: int) -> None:
        """Waits until a stop is requested or a descriptor becomes readable, at most `seconds`."""
        _is_any_readable((self._descriptor, *descriptors), seconds)


def is_readable(descriptor: int, seconds: float = 0.0) -> bool:
    """Returns true if a descriptor is readable, or becomes so within `seconds`."""
    return _is_any_readable((descriptor,), seconds)


def _is_any_readable(descriptors: Sequence[int], seconds: float) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * seconds))

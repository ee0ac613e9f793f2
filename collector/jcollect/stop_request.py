"""Ends a command from outside: by a signal, or when a limit is reached."""

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

# What sends a signal to a process and then to its group, as timeout(1) does, means it once.
_ONCE_SECONDS = 0.5


class End:
    """Listens for signals from construction on; for one thread, but for `now`.

    The first signal asks to end. Another one ends at once: it raises Interrupted in whatever the main thread
    is doing, and those that follow do nothing, so that what is done then is not interrupted.
    """

    def __init__(self) -> None:
        # Signals and threads write to it; a threading.Event has a lock, which a signal handler that
        # interrupts its holder would wait for for ever.
        self._ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._first = float("inf")
        self._first_interrupts = False
        self.is_at_once = False
        self._interrupted: Interrupted | None = None
        self._is_undisturbed = False
        signal.signal(signal.SIGTERM, self._signalled)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._signalled)
            elif number == signal.SIGINT and signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
                # Both are ignored by a shell for what a script runs in the background: Ctrl-C is not meant
                # for that, but who sends the signal to it means it.
                signal.signal(number, self._signalled)
                ignore_terminal(number)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.now()
        now = time.monotonic()
        is_first = now < self._first
        self._first = min(self._first, now)
        if self.is_at_once or not (self._first_interrupts if is_first else self._is_another(number, now)):
            return
        self.is_at_once = True
        self._interrupted = Interrupted(number)
        if not self._is_undisturbed:
            raise self._interrupted

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """A block, which has to be short, that no signal interrupts: `check` tells of it afterwards."""
        self._is_undisturbed = True
        try:
            yield
        finally:
            self._is_undisturbed = False

    def _is_another(self, number: int, now: float) -> bool:
        # A terminal that hangs up asks for nothing more than that.
        return number != signal.SIGHUP and now - self._first > _ONCE_SECONDS

    def check(self) -> None:
        """Raises Interrupted if a signal has ended it at once, whatever was made of that then."""
        if self._interrupted is not None:
            raise self._interrupted

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A block that the first signal ends as well: nothing has to be put in order yet."""
        self._first_interrupts = True
        try:
            yield
        finally:
            self._first_interrupts = False

    def now(self) -> None:
        os.eventfd_write(self._ended, 1)

    def going_on(self) -> bool:
        return not is_readable(self._ended)

    def wait(self, seconds: float, *descriptors: int) -> None:
        """Waits that many seconds, or less if the command ends or a descriptor becomes readable."""
        _is_any_readable((self._ended, *descriptors), seconds)


def is_readable(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether it is, or becomes so within that time."""
    return _is_any_readable((descriptor,), seconds)


def _is_any_readable(descriptors: Sequence[int], seconds: float) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * seconds))

"""What ends `jcollect attach` from outside: a signal, or a limit that was reached."""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType

# What sends a signal to a process and then to its group, as timeout(1) does, means it once.
_ONCE_SECONDS = 0.5


class End:
    """Listens for signals from construction on; for one thread, but for `now`."""

    def __init__(self) -> None:
        # Signals and threads write to it; a threading.Event has a lock, which a signal handler that
        # interrupts its holder would wait for for ever.
        self._ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._first = float("inf")
        signal.signal(signal.SIGTERM, self._signalled)
        for number in (signal.SIGINT, signal.SIGHUP):
            # nohup(1) has ignored the one, and a shell the other for what scripts run in the background.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.now()
        now = time.monotonic()
        if number == signal.SIGINT and now - self._first > _ONCE_SECONDS:
            # A second Ctrl-C does not wait for a reader of our output that is stuck.
            raise KeyboardInterrupt
        self._first = min(self._first, now)

    def now(self) -> None:
        os.eventfd_write(self._ended, 1)

    def going_on(self) -> bool:
        return not is_readable(self._ended)

    def wait(self, seconds: float) -> None:
        """So many seconds, or less if it ends meanwhile."""
        is_readable(self._ended, seconds)


def is_readable(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether it is, or becomes so within that time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * seconds))

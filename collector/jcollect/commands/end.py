"""What ends `jcollect attach`: a signal, the process's exit, a limit reached."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType

from jcollect.errors import JcollectError


class End:
    """Listens for signals from construction on; for one thread, but for `now`."""

    def __init__(self, pid: int) -> None:
        # Signals and threads write to it; a threading.Event has a lock, which a signal handler that
        # interrupts its holder would wait for for ever.
        self._ended = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            raise JcollectError(f"PID {pid} has exited") from None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.now()
        # A second Ctrl-C does not wait for a reader of our output that is stuck.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def now(self) -> None:
        os.eventfd_write(self._ended, 1)

    def going_on(self) -> bool:
        return not _is_readable(self._ended) and not self.exited

    @property
    def exited(self) -> bool:
        """Whether the process is gone."""
        return _is_readable(self._process)

    def wait(self, seconds: float) -> None:
        """So many seconds, or less if it ends meanwhile; the process's exit does not cut it short."""
        _is_readable(self._ended, seconds)


def _is_readable(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether it is, or becomes so within that time."""
    return bool(select.select([descriptor], [], [], seconds)[0])

"""The program that `jcollect run` has started: its signals, its exit code, and whether it has begun."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from jcollect.workers import Worker

# SIGKILL and SIGSTOP cannot be passed on, and a terminal sends the others to the program as well.
_PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# asm-generic/siginfo.h. A signal of the terminal has gone to the whole foreground group.
_SI_KERNEL = 0x80
_PERIOD_SECONDS = 0.2


class Program:
    """A child process. `has_begun` is set once it need not wait for probes any more."""

    def __init__(self, pid: int, is_java: bool) -> None:
        self.pid = pid
        self.is_java = is_java
        self.has_begun = False
        self._lock = threading.Lock()
        self._on_exit: Callable[[], None] = lambda: None
        self._status: int | None = None
        self._waiter = Worker("wait for the program", self._wait)

    @property
    def has_exited(self) -> bool:
        return self._status is not None

    @contextlib.contextmanager
    def passing_signals_on(self) -> Iterator[None]:
        """Passes signals on to the program until the block ends. Waits for its exit from now on.

        Threads that start in the block leave the signals to the one that passes them on.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        try:
            self._waiter.start()
            passer = Worker("pass signals on", self._pass_on).start()
            yield
        finally:
            self.wait()
            passer.join(10 * _PERIOD_SECONDS)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def on_exit(self, call: Callable[[], None]) -> None:
        """Calls a function, in another thread, when the program has exited, or at once if it has."""
        with self._lock:
            self._on_exit = call
            has_exited = self.has_exited
        if has_exited:
            call()

    def wait(self) -> int:
        """Waits until it has exited. Returns its exit code, or 128 plus the signal that ended it."""
        while not self._waiter.join(_PERIOD_SECONDS * 10):
            pass
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def begin(self) -> None:
        """Records that it does not wait for probes any more."""
        self.has_begun = True

    def end(self) -> None:
        """Ends the program, which has not begun."""
        self._send(signal.SIGTERM)
        # A stopped one takes no other signal.
        self._send(signal.SIGCONT)

    def _wait(self) -> None:
        # WNOWAIT keeps the PID from being used again until no signal can be sent to it any more.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _, self._status = os.waitpid(self.pid, 0)
            call = self._on_exit
        call()

    def _send(self, number: int) -> None:
        with self._lock:
            if self._status is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, number)

    def _pass_on(self) -> None:
        while not self.has_exited:
            received = signal.sigtimedwait(_PASSED_ON, _PERIOD_SECONDS)
            if received is not None and received.si_code != _SI_KERNEL:
                self._send(received.si_signo)

"""Cancels what a thread waits for, from another thread and in order: the waiting code gets an error."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from jcollect.errors import JcollectError

_mine = threading.local()


class Cancellation:
    """Cancels, from any thread, what one thread does within `applied`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Callable[[], object]] = []
        self.is_cancelled = False

    def cancel(self) -> None:
        """Requests the end and returns at once; the stopped work ends in its own time."""
        with self._lock:
            self.is_cancelled = True
            for stop in self._stops:
                with contextlib.suppress(OSError):
                    stop()

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Runs a block of this thread that can be cancelled."""
        _mine.cancellation = self
        try:
            yield
        finally:
            _mine.cancellation = None

    @contextlib.contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        with self._lock:
            if self.is_cancelled:
                raise JcollectError("jcollect is exiting")
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)


@contextlib.contextmanager
def stopped_by(stop: Callable[[], object]) -> Iterator[None]:
    """Runs a block that waits, and that `stop` ends if this thread is cancelled. Raises JcollectError if it
    was cancelled before."""
    cancellation: Cancellation | None = getattr(_mine, "cancellation", None)
    if cancellation is None:
        yield
        return
    with cancellation.stopping(stop):
        yield


def is_cancelled() -> bool:
    """Returns true if this thread must not wait any more."""
    cancellation: Cancellation | None = getattr(_mine, "cancellation", None)
    return cancellation is not None and cancellation.is_cancelled

"""Threads, all started, waited for and failing in the same way.

The module threading is not used to start them: its start() waits without limit for the new thread, which may
have died for want of memory, and at the end of the program it waits for whatever was started.
"""

from __future__ import annotations

import _thread
import contextlib
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from jcollect.errors import NO_THREADS, JcollectError, explain

# Address space alone, until something is written there.
_RESERVE_BYTES = 32 << 20
# A new thread says that it runs within this time, or is given up.
_START_SECONDS = 10.0


class Failures:
    """What has gone wrong in threads. The first failure ends the command: it is told by `on_first`, and
    raised by `check`.

    It also frees some memory that is kept for that, because what is missing may be memory, and the books are
    still to be closed.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self._on_first = on_first
        self._reserve = mmap.mmap(-1, _RESERVE_BYTES)
        self._first: tuple[BaseException, str] | None = None

    def add(self, error: BaseException, what: str) -> None:
        """`what` was tried, as in "read events". For any thread, and without a lock."""
        if self._first is None:
            self._first = (error, what)
            self._reserve.close()
        self._on_first()

    def check(self) -> None:
        """Raises JcollectError."""
        if self._first is not None:
            raise explain(*self._first) from None

    def take_those_of_libraries(self) -> None:
        """From now on, also what ends threads that were not started here, as gRPC's."""

        def hook(failed: threading.ExceptHookArgs) -> None:
            name = failed.thread.name if failed.thread else "a thread"
            self.add(failed.exc_value or failed.exc_type(), f"go on in {name}")

        threading.excepthook = hook


class Worker:
    """A thread that runs a function once. What that raises is added to `failures`.

    No worker keeps the program from ending.
    """

    def __init__(
        self,
        what: str,
        run: Callable[[], Any],
        failures: Failures | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`what` it does, as in "read events". `on_end` is called when it has done that."""
        self.what = what
        self.is_started = False
        self._run = run
        self._failures = failures
        self._on_end = on_end
        self._begun = _thread.allocate_lock()
        self._begun.acquire()
        self._ended = _thread.allocate_lock()
        self._ended.acquire()

    def start(self) -> Worker:
        """Raises JcollectError where no more threads can be started."""
        try:
            _thread.start_new_thread(self._main, ())
        except (RuntimeError, MemoryError):
            raise JcollectError(f"cannot {self.what}: {NO_THREADS}") from None
        if not self._begun.acquire(timeout=_START_SECONDS):
            raise JcollectError(f"cannot {self.what}: {NO_THREADS}")
        self.is_started = True
        return self

    def _main(self) -> None:
        try:
            self._begun.release()
            self._run()
        except BaseException as error:
            if self._failures is not None:
                self._failures.add(error, self.what)
        finally:
            self._ended.release()
            self._on_end()

    def join(self, seconds: float) -> bool:
        """Whether it has ended, within so many seconds at most; also one that was never started."""
        if not self.is_started:
            return True
        if not self._ended.acquire(timeout=max(0.0, seconds)):
            return False
        self._ended.release()
        return True


_Item = TypeVar("_Item")


def side_by_side(what: str, run: Callable[[_Item], None], items: Sequence[_Item], most: int) -> None:
    """Runs the function for each item, in at most that many threads, and in fewer if no more can be started.

    Returns when it has run for all of them. Raises the first error then.
    """
    left = deque(items)
    errors: list[Exception] = []

    def serve() -> None:
        while True:
            try:
                item = left.popleft()
            except IndexError:
                return
            try:
                run(item)
            except Exception as error:
                errors.append(error)

    workers = []
    with contextlib.suppress(JcollectError):
        for _ in range(min(most, len(items)) - 1):
            workers.append(Worker(what, serve).start())
    try:
        serve()
    finally:
        for worker in workers:
            worker.join(threading.TIMEOUT_MAX)
    if errors:
        raise errors[0]


class _Gate:
    """Holds workers until it is opened."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def pass_through(self) -> None:
        with self._lock:
            pass

    def __enter__(self) -> _Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def check_can_open(files: int, what: str) -> None:
    """Raises JcollectError unless so many more files can be open."""
    descriptors = []
    try:
        for _ in range(files):
            descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise explain(error, what) from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def check_can_start(threads: int, what: str) -> None:
    """Raises JcollectError unless so many can be started, all at a time: libraries hang or abort without."""
    workers = []
    try:
        with _Gate() as gate:
            for _ in range(threads):
                workers.append(Worker(what, gate.pass_through).start())
    finally:
        deadline = time.monotonic() + _START_SECONDS
        for worker in workers:
            worker.join(deadline - time.monotonic())

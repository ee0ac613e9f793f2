"""Starts threads, waits for them, and collects their failures.

Does not start them with the module threading. Its start() waits forever for a new thread that died for lack
of memory, and the module waits at exit for all threads that it started.
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

# Only address space, until something is written to it.
_RESERVE_BYTES = 32 << 20
# Maximum time until a new thread runs.
_START_SECONDS = 10.0


class Failures:
    """Collects the failures of threads. The first one ends the command: `on_first` reports it, and `check`
    raises it.

    The first failure also frees reserved memory: memory may be what is missing, and the command still has to
    complete its hit counts.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self._on_first = on_first
        self._reserve = mmap.mmap(-1, _RESERVE_BYTES)
        self._first: tuple[BaseException, str] | None = None

    def add(self, error: BaseException, what: str) -> None:
        """Records a failure of `what`, as in "read events". For any thread; uses no lock."""
        if self._first is None:
            self._first = (error, what)
            self._reserve.close()
        self._on_first()

    def check(self) -> None:
        """Raises JcollectError if something failed."""
        if self._first is not None:
            raise explain(*self._first) from None

    def catch_library_failures(self) -> None:
        """Collects from now on also the failures of threads that libraries such as gRPC have started."""

        def hook(failed: threading.ExceptHookArgs) -> None:
            name = failed.thread.name if failed.thread else "a thread"
            self.add(failed.exc_value or failed.exc_type(), f"continue in {name}")

        threading.excepthook = hook


class Worker:
    """A thread that runs a function once, and adds what that raises to `failures`.

    The program can exit while workers run.
    """

    def __init__(
        self,
        what: str,
        run: Callable[[], Any],
        failures: Failures | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`what` describes the work, as in "read events". `on_end` is called when the function has
        returned."""
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
        """Raises JcollectError if no more threads can be started."""
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
        """Waits at most `seconds`; returns true if the thread has ended or was never started."""
        if not self.is_started:
            return True
        if not self._ended.acquire(timeout=max(0.0, seconds)):
            return False
        self._ended.release()
        return True


_Item = TypeVar("_Item")


def run_in_parallel(what: str, run: Callable[[_Item], None], items: Sequence[_Item], most: int) -> None:
    """Runs a function for each item, in at most `most` threads, and in fewer if no more can be started.

    Waits until it has run for all items, then raises the first error.
    """
    left = deque(items)
    errors: list[Exception] = []

    def run_items() -> None:
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
            workers.append(Worker(what, run_items).start())
    try:
        run_items()
    finally:
        for worker in workers:
            worker.join(threading.TIMEOUT_MAX)
    if errors:
        raise errors[0]


class _Latch:
    """Blocks workers until its block ends."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def wait(self) -> None:
        with self._lock:
            pass

    def __enter__(self) -> _Latch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def check_can_open(files: int, what: str) -> None:
    """Raises JcollectError unless that many more files can be opened."""
    descriptors = []
    try:
        for _ in range(files):
            descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise explain(error, what) from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def check_can_map(size: int, what: str) -> None:
    """Raises JcollectError unless so many more bytes of address space are left. Without them, libraries try
    for long to start a thread, and abort."""
    try:
        mmap.mmap(-1, size, prot=mmap.PROT_READ).close()
    except OSError as error:
        raise explain(error, what) from None


def check_can_start(threads: int, what: str) -> None:
    """Raises JcollectError unless that many threads can run at the same time. Without them, libraries hang or
    abort."""
    workers = []
    try:
        with _Latch() as latch:
            for _ in range(threads):
                workers.append(Worker(what, latch.wait).start())
    finally:
        deadline = time.monotonic() + _START_SECONDS
        for worker in workers:
            worker.join(deadline - time.monotonic())

"""Runs errands for processes in threads, so that a process that does not answer delays no other one."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Any

from jcollect.errors import JcollectError
from jcollect.workers import Worker

# A thread that has been idle for this long ends.
_IDLE_SECONDS = 5.0


class Errand:
    """A piece of work done in a thread. `result` or `error` is set when it has ended."""

    def __init__(self, run: Callable[[], Any], owner: Hashable) -> None:
        self.owner = owner
        self.result: Any = None
        self.error: BaseException | None = None
        self._run = run
        self._ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def run(self) -> None:
        try:
            self.result = self._run()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Waits at most that many seconds; returns true if the errand has ended."""
        return self._ended.wait(max(0.0, seconds))


class Crew:
    """Runs a bounded number of errands at a time, and at most half of that for one owner, in the order in
    which they are given.

    The owner of an errand is whoever it may have to wait for: the user of a process.
    """

    def __init__(self, what: str, most: int) -> None:
        """`what` describes the work of its threads, as in "look at processes"."""
        self._what = what
        self._most = most
        self._share = max(1, most // 2)
        self._waiting: deque[Errand] = deque()
        self._running: Counter[Hashable] = Counter()
        self._changed = threading.Condition(threading.Lock())
        self._threads = 0
        self._idle = 0
        self._is_closed = False
        # Becomes readable when an errand ends.
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def give(self, run: Callable[[], Any], owner: Hashable) -> Errand:
        """Queues an errand. For any thread. Raises JcollectError if not even one thread can be started."""
        errand = Errand(run, owner)
        with self._changed:
            self._waiting.append(errand)
            needs_thread = len(self._waiting) > self._idle and self._threads < self._most
            if needs_thread:
                self._threads += 1
            self._changed.notify()
        if needs_thread:
            self._start(errand)
        return errand

    def _start(self, errand: Errand) -> None:
        try:
            Worker(self._what, self._serve).start()
        except JcollectError:
            with self._changed:
                self._threads -= 1
                if self._threads > 0 or errand not in self._waiting:
                    return  # Another thread will take the errand.
                self._waiting.remove(errand)
            raise

    def seen(self) -> None:
        """Acknowledges all errands that have ended by now: `descriptor` becomes readable again after the next
        one."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Drops the errands that have not begun; running ones go on."""
        with self._changed:
            self._is_closed = True
            dropped, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        for errand in dropped:
            errand.error = JcollectError(f"jcollect has ended before it could {self._what}")
            errand.end()

    def _serve(self) -> None:
        while (errand := self._next()) is not None:
            errand.run()
            with self._changed:
                self._running[errand.owner] -= 1
                # Another errand of the same owner may have waited for this one.
                self._changed.notify_all()
            errand.end()
            os.eventfd_write(self.descriptor, 1)

    def _next(self) -> Errand | None:
        with self._changed:
            while True:
                for errand in self._waiting:
                    if self._running[errand.owner] < self._share:
                        self._waiting.remove(errand)
                        self._running[errand.owner] += 1
                        return errand
                self._idle += 1
                is_needed = not self._is_closed and self._changed.wait(_IDLE_SECONDS)
                self._idle -= 1
                if not is_needed and not self._waiting:
                    self._threads -= 1
                    return None

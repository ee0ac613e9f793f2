"""Runs errands for processes in threads, so that a process that does not answer delays no other one."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Any

from jcollect.errors import JcollectError
from jcollect.workers import Worker

# A thread that has been idle for this long ends.
_IDLE_SECONDS = 5.0
# An errand that takes longer than this is slow.
SLOW_SECONDS = 2.0


class Errand:
    """A piece of work done in a thread. `result` or `error` is set when it has ended."""

    def __init__(self, run: Callable[[], Any], owner: Hashable) -> None:
        self.owner = owner
        self.result: Any = None
        self.error: BaseException | None = None
        self._run = run
        self._ended = threading.Event()
        self.begun = 0.0
        self.is_slow = False

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
    """Runs a bounded number of errands at a time, and a share of that for one owner, in the order in which
    they are given.

    The owner of an errand is whoever it may have to wait for: the user of a process. A slow errand makes room
    for another one of its owner, as long as there are not too many slow ones.
    """

    def __init__(self, what: str, most: int, slow: int = 0, share: int | None = None) -> None:
        """`what` describes the work of its threads, as in "look at processes". `slow` is how many errands may
        run in addition to the `most` others because they are slow. `share` is how many of the others one
        owner may have running, by default half."""
        self._what = what
        self._most = most
        self._share = share or max(1, most // 2)
        self._waiting: deque[Errand] = deque()
        self._slow = slow
        # One owner leaves the others as many of the slow places as of the ordinary ones.
        self._slow_share = max(0, slow - self._share)
        self._running: list[Errand] = []
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
            needs_thread = len(self._waiting) > self._idle and self._threads < self._most + self._slow
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
                self._running.remove(errand)
                # Another errand of the same owner may have waited for this one.
                self._changed.notify_all()
            errand.end()
            os.eventfd_write(self.descriptor, 1)

    def _next(self) -> Errand | None:
        with self._changed:
            while True:
                now = time.monotonic()
                if (errand := self._startable(now)) is not None:
                    self._waiting.remove(errand)
                    errand.begun = now
                    self._running.append(errand)
                    return errand
                self._idle += 1
                is_needed = not self._is_closed and self._changed.wait(self._pause(now))
                self._idle -= 1
                if not is_needed and not self._waiting:
                    self._threads -= 1
                    return None

    def _startable(self, now: float) -> Errand | None:
        """Returns the first errand that may begin."""
        if not self._waiting:
            return None
        self._part_slow(now)
        running = Counter(each.owner for each in self._running if not each.is_slow)
        if running.total() >= self._most:
            return None
        return next((each for each in self._waiting if running[each.owner] < self._share), None)

    def _part_slow(self, now: float) -> None:
        slow = Counter(each.owner for each in self._running if each.is_slow)
        for each in self._running:
            is_late = not each.is_slow and now - each.begun >= SLOW_SECONDS
            if is_late and slow.total() < self._slow and slow[each.owner] < self._slow_share:
                each.is_slow = True
                slow[each.owner] += 1

    def _pause(self, now: float) -> float:
        """Returns how long a thread waits until an errand that runs may have become slow."""
        if not self._waiting or not self._slow:
            return _IDLE_SECONDS
        soon = [left for each in self._running if (left := each.begun + SLOW_SECONDS - now) > 0]
        return min([_IDLE_SECONDS, *soon])

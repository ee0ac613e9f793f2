"""Runs tasks for processes in threads, so that a process that does not answer delays no other process."""

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
# A task that has run for longer than this is slow.
SLOW_SECONDS = 2.0


class Task:
    """A function that runs in a thread. `result` or `error` is set when it has ended."""

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

    def finish(self) -> None:
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Waits at most `seconds`; returns true if the task has ended."""
        return self._ended.wait(max(0.0, seconds))


class WorkerPool:
    """Runs tasks in the order of submission, with a limit on their number and on those of one owner.

    The owner is the user of the process that the task may have to wait for. A slow task no longer counts
    toward its owner's limit, until too many tasks are slow.
    """

    def __init__(self, what: str, most: int, slow: int = 0, share: int | None = None) -> None:
        """`what` describes the work, as in "scan processes". At most `most` tasks run, plus `slow` slow ones.
        Of the `most` tasks, one owner may have `share`, by default half."""
        self._what = what
        self._most = most
        self._share = share or max(1, most // 2)
        self._waiting: deque[Task] = deque()
        self._slow = slow
        # The slow tasks of one owner leave as many threads to other owners as its ordinary tasks do.
        self._slow_share = max(0, slow - self._share)
        self._running: list[Task] = []
        self._changed = threading.Condition(threading.Lock())
        self._threads = 0
        self._idle = 0
        self._is_closed = False
        # Becomes readable when a task ends.
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def submit(self, run: Callable[[], Any], owner: Hashable) -> Task:
        """Queues a task. For any thread. Raises JcollectError if not even one thread can be started."""
        task = Task(run, owner)
        with self._changed:
            self._waiting.append(task)
            needs_thread = len(self._waiting) > self._idle and self._threads < self._most + self._slow
            if needs_thread:
                self._threads += 1
            self._changed.notify()
        if needs_thread:
            self._start(task)
        return task

    def _start(self, task: Task) -> None:
        try:
            Worker(self._what, self._run_tasks).start()
        except JcollectError:
            with self._changed:
                self._threads -= 1
                if self._threads > 0 or task not in self._waiting:
                    return  # Another thread will run the task.
                self._waiting.remove(task)
            raise

    def acknowledge(self) -> None:
        """Acknowledges the tasks that have ended: `descriptor` becomes readable again when another one
        ends."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Drops the waiting tasks; running ones continue."""
        with self._changed:
            self._is_closed = True
            dropped, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        for task in dropped:
            task.error = JcollectError(f"cannot {self._what}: jcollect is exiting")
            task.finish()

    def _run_tasks(self) -> None:
        while (task := self._next()) is not None:
            task.run()
            with self._changed:
                self._running.remove(task)
                # Another task of the same owner may have waited for this one.
                self._changed.notify_all()
            task.finish()
            os.eventfd_write(self.descriptor, 1)

    def _next(self) -> Task | None:
        with self._changed:
            while True:
                now = time.monotonic()
                if (task := self._startable(now)) is not None:
                    self._waiting.remove(task)
                    task.begun = now
                    self._running.append(task)
                    return task
                self._idle += 1
                is_needed = not self._is_closed and self._changed.wait(self._pause(now))
                self._idle -= 1
                if not is_needed and not self._waiting:
                    self._threads -= 1
                    return None

    def _startable(self, now: float) -> Task | None:
        """Returns the first waiting task that the limits allow to start."""
        if not self._waiting:
            return None
        self._mark_slow(now)
        running = Counter(each.owner for each in self._running if not each.is_slow)
        if running.total() >= self._most:
            return None
        return next((each for each in self._waiting if running[each.owner] < self._share), None)

    def _mark_slow(self, now: float) -> None:
        slow = Counter(each.owner for each in self._running if each.is_slow)
        for each in self._running:
            is_overdue = not each.is_slow and now - each.begun >= SLOW_SECONDS
            if is_overdue and slow.total() < self._slow and slow[each.owner] < self._slow_share:
                each.is_slow = True
                slow[each.owner] += 1

    def _pause(self, now: float) -> float:
        """Returns the time in s until a running task may become slow."""
        if not self._waiting or not self._slow:
            return _IDLE_SECONDS
        soon = [left for each in self._running if (left := each.begun + SLOW_SECONDS - now) > 0]
        return min([_IDLE_SECONDS, *soon])

"""Reads of a process's memory, which that process can hold up for as long as it likes: by a page that comes
from a file system of its own (FUSE) or from itself (userfaultfd). Such a read can be left, but not ended.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from jcollect.workers import Worker

# A page that comes from a busy disk takes less.
PATIENCE_SECONDS = 5.0

_T = TypeVar("_T")
_lock = threading.Lock()
_idle: list[_Reader] = []
# Processes that hold a thread of ours: no second one is risked.
_held_by: set[int] = set()


def within(pid: int, read: Callable[[], _T], seconds: float = PATIENCE_SECONDS) -> _T:
    """What `read` returns or raises; TimeoutError if it does not end in time, and as long as it does not."""
    if pid in _held_by:
        raise _timed_out(pid)
    with _lock:
        reader = _idle.pop() if _idle else _Reader()
    task = _Task(pid, read)
    reader.tasks.put(task)
    if not task.ended.wait(seconds):
        with _lock:
            if not task.ended.is_set():
                task.is_given_up = True
                _held_by.add(pid)
                raise _timed_out(pid)
    with _lock:
        _idle.append(reader)
    if task.error:
        raise task.error
    return task.result[0]


class _Task(Generic[_T]):
    def __init__(self, pid: int, read: Callable[[], _T]) -> None:
        self.pid = pid
        self.read = read
        self.result: list[_T] = []
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self.is_given_up = False


class _Reader:
    """A thread that reads for others; it ends after a read that nobody has waited for."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[_Task[Any]] = SimpleQueue()
        Worker("read the memory of processes", self._run).start()

    def _run(self) -> None:
        while True:
            task = self.tasks.get()
            try:
                task.result.append(task.read())
            except BaseException as error:
                task.error = error
            with _lock:
                task.ended.set()
                if task.is_given_up:
                    _held_by.discard(task.pid)
                    return


def _timed_out(pid: int) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"PID {pid} holds up whoever reads its memory")

"""Loads candidates, each in a thread, until the command ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from jcollect.control.cancel import Cancellation
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jcollect.session.candidate import Candidate
from jcollect.stop_request import is_readable
from jcollect.worker_pool import Task, WorkerPool

_LOADS = 8
# Slow ones run in addition to them, so that processes that do not answer do not delay those that do, even if
# all belong to one user.
_SLOW_LOADS = 16
_CLOSES = 16


class _Load(NamedTuple):
    process: Process
    name: str
    task: Task
    cancellation: Cancellation


class Loading:
    """The candidates that are being loaded. For one thread."""

    def __init__(self) -> None:
        self._pool = WorkerPool("attach to processes", _LOADS, _SLOW_LOADS)
        self._loads: list[_Load] = []
        self.descriptor = self._pool.descriptor  # Becomes readable when a task has ended.

    @property
    def is_busy(self) -> bool:
        """True while candidates are being loaded, or were loaded and not yet returned by `ended`."""
        return bool(self._loads)

    def begin(self, process: Process, name: str, load: Callable[[], Candidate]) -> None:
        """Starts to load a candidate. Raises JcollectError if no thread can be started."""
        cancellation = Cancellation()

        def run() -> Candidate:
            with cancellation.applied():
                return load()

        task = self._pool.submit(run, process.owner)
        self._loads.append(_Load(process, name, task, cancellation))

    def wait(self, seconds: float) -> None:
        """Waits until a load ends."""
        is_readable(self.descriptor, seconds)

    def ended(self) -> Iterator[tuple[Process, str, Task]]:
        """Yields each load that has ended, once: its process, its name and its task."""
        self._pool.acknowledge()
        ended = [load for load in self._loads if load.task.has_ended]
        self._loads = [load for load in self._loads if load not in ended]
        for load in ended:
            yield load.process, load.name, load.task

    def close(self, candidates: Sequence[Candidate], seconds: float) -> int:
        """Closes these candidates and those still being loaded; returns how many could not be closed in time.
        The kernel closes their connections when this process ends, and selections end with the connections.
        """
        deadline = time.monotonic() + seconds
        self._pool.close()
        for load in self._loads:
            load.cancellation.cancel()
        pool = WorkerPool("end selections", _CLOSES)
        tasks = [task for each in candidates if (task := _closing(each, pool))]
        for load in self._loads:
            if load.task.wait(deadline - time.monotonic()) and load.task.error is None:
                tasks += filter(None, [_closing(load.task.result, pool)])
        loads, self._loads = self._loads, []
        late = sum(not load.task.has_ended for load in loads)
        return late + sum(not task.wait(deadline - time.monotonic()) for task in tasks)


def _closing(candidate: Candidate, pool: WorkerPool) -> Task | None:
    """Returns the task that closes it; None if no thread could be started and it was closed here."""
    try:
        return pool.submit(candidate.close, candidate.process.owner)
    except JcollectError:
        candidate.close()
        return None

"""Asks processes for the current state of their probes, or for what they have counted, and waits for none of
them for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from jcollect.errors import JcollectError
from jcollect.session.tracee import Tracee
from jcollect.worker_pool import Task, WorkerPool

# Maximum time to wait for a process to report its probes, and for a process that was slow before. Afterwards
# its last known state stands.
_SECONDS = 1.0
_SLOW_SECONDS = 0.2
# Maximum number of processes that are asked at the same time.
_AT_ONCE = 8


class Refresher:
    """Refreshes tracees in threads, each tracee in one at a time. For any thread."""

    def __init__(
        self, tracees: Callable[[], Sequence[Tracee]], refresh: Callable[[Tracee], None] = Tracee.refresh
    ) -> None:
        """`tracees` returns the tracees of the session. One that leaves it must be passed to `forget`.
        `refresh` asks one process."""
        self._act = refresh
        self._tracees = tracees
        self._pool = WorkerPool("ask processes for the state of their probes", _AT_ONCE)
        self._lock = threading.Lock()
        self._tasks: dict[Tracee, Task] = {}
        self._slow: set[Tracee] = set()

    def refresh(self) -> Sequence[Tracee]:
        """Refreshes all tracees, as far as their processes answer in time, and returns them."""
        tracees = self._tracees()
        now = time.monotonic()
        asked = [(tracee, self._ask(tracee)) for tracee in tracees]
        for tracee, task in asked:
            patience = _SLOW_SECONDS if tracee in self._slow else _SECONDS
            has_answered = task is not None and task.wait(now + patience - time.monotonic())
            with self._lock:
                if has_answered:
                    self._slow.discard(tracee)
                elif tracee in self._tasks:
                    self._slow.add(tracee)
        return tracees

    def forget(self, tracee: Tracee) -> None:
        """Forgets a tracee that has left the session."""
        with self._lock:
            self._tasks.pop(tracee, None)
            self._slow.discard(tracee)

    def close(self) -> None:
        self._pool.close()

    def _ask(self, tracee: Tracee) -> Task | None:
        """Gives a process its only task at a time; None if no thread can be started."""
        with self._lock:
            if tracee not in self._tracees():
                return None
            task = self._tasks.get(tracee)
            if task is None or task.has_ended:
                try:
                    task = self._pool.submit(partial(self._act, tracee), (tracee.owner, tracee in self._slow))
                except JcollectError:
                    return None
                self._tasks[tracee] = task
            return task

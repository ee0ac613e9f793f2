"""A flight recorder over pools: waits for triggers, without reading, and opens the pools to the drain then.

Threads overwrite their oldest events meanwhile. A thread that writes an event which meets a condition sets a
futex in the pool (direct_pool.triggered). For each pool a thread of jcollect waits for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable

from jcollect.errors import JcollectError
from jcollect.sources.base import ALWAYS
from jcollect.sources.direct.pool import Pool
from jcollect.sources.recorder import Recorder, RecorderStatus
from jcollect.workers import Worker

# Minimum time between two deliveries of a pool: a program may throw exceptions all the time.
_PAUSE_SECONDS = 1.0
# Maximum time for a waiting thread to end.
_END_SECONDS = 5.0


class Recording:
    """The state of a flight recorder. The source's lock protects it, except for `wake`.

    `descriptor` is readable when something is to be delivered.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._recorder = recorder
        self._watches: dict[Pool, _Watch] = {}
        self._open: list[Pool] = []
        self._deliveries = 0
        self._short_ns = 0

    def begin(self, pool: Pool) -> None:
        """Lets threads overwrite the pool's oldest events, and waits for a trigger. Raises JcollectError."""
        recorder = self._recorder
        pool.record(recorder.duration_ns, on_throw=recorder.on_exception)
        self._watches[pool] = _Watch(pool, self.wake)

    def end(self, pool: Pool) -> None:
        """Opens the rest of a pool that nothing is written to any more: events of the last moments before
        the process has exited, if that is a trigger; otherwise they are too old."""
        watch = self._watches.pop(pool, None)
        if watch is not None:
            watch.end()
            is_delivered = self._recorder.on_exit and pool.process.has_exited
            # Its exit is noticed later. Its last event is closer to it.
            pool.play(
                self._begin_delivery(pool, pool.youngest_time()) if is_delivered else ALWAYS, is_last=True
            )
        self.wake()

    def keep(self, pool: Pool) -> None:
        """Takes back `end`."""
        if pool not in self._watches:
            self.begin(pool)

    def wake(self) -> None:
        """Makes the descriptor readable. For any thread."""
        os.eventfd_write(self.descriptor, 1)

    def open_triggered(self) -> None:
        """Opens the pools whose trigger has come to the drain, until `close_read`."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
        for pool, watch in self._watches.items():
            if watch.take():
                pool.play(self._begin_delivery(pool, pool.trigger_began), is_last=False)
                self._open.append(pool)

    def close_read(self) -> None:
        """Lets the drain read these pools no more, and waits for their next trigger."""
        opened, self._open = self._open, []
        for pool in opened:
            if (watch := self._watches.get(pool)) is not None:
                pool.pause()
                watch.go_on()

    def _begin_delivery(self, pool: Pool, trigger: int) -> int:
        """Counts a delivery of the events before a time. Returns the time of the oldest one that is
        wanted."""
        trigger = min(trigger, time.monotonic_ns())
        wanted = max(0, trigger - self._recorder.last_ns)
        self._deliveries += 1
        if pool.was_too_small and (oldest := pool.oldest_time()) > wanted:
            short = max(1, trigger - oldest)
            self._short_ns = min(self._short_ns or short, short)
        return wanted

    def status(self, overwritten: int) -> RecorderStatus:
        """Returns what was done until now, with the number of events that were not kept."""
        now = time.monotonic_ns()
        oldest = min((pool.oldest_time() for pool in self._watches), default=now)
        return RecorderStatus(self._deliveries, overwritten, max(0, now - oldest), self._short_ns)

    def close(self) -> None:
        """Ends the waiting threads. The pools must still be mapped."""
        for watch in self._watches.values():
            watch.end()
        self._watches.clear()
        os.close(self.descriptor)


class _Watch:
    """A thread that waits for a pool's trigger, calls `wake`, and waits again after `go_on`."""

    def __init__(self, pool: Pool, wake: Callable[[], None]) -> None:
        self._pool = pool
        self._wake = wake
        self._is_triggered = False
        self._stop = ctypes.c_uint32(0)
        self._may_go_on = threading.Event()
        self._has_ended = threading.Event()
        self._worker = Worker("wait for a trigger of the flight recorder", self._run)
        self._worker.start()

    def _run(self) -> None:
        while True:
            self._pool.await_trigger(self._stop)
            if self._stop.value:
                return
            self._may_go_on.clear()
            self._is_triggered = True
            self._wake()
            self._may_go_on.wait()
            if self._has_ended.wait(_PAUSE_SECONDS):
                return

    def take(self) -> bool:
        """Returns true once for each trigger."""
        taken, self._is_triggered = self._is_triggered, False
        return taken

    def go_on(self) -> None:
        self._may_go_on.set()

    def end(self) -> None:
        self._pool.stop_waiting(self._stop)
        self._has_ended.set()
        self._may_go_on.set()
        if not self._worker.join(_END_SECONDS):
            # Its memory must not be unmapped.
            raise JcollectError("cannot stop waiting for a trigger of the flight recorder")

"""Reads events from the sources and publishes them, with everything counted, in its own thread."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from jcollect.hub.accounts import Accounts
from jcollect.hub.hub import Hub
from jcollect.hub.merge import Merge
from jcollect.sources.base import Drainable
from jcollect.sources.columns import Batch
from jcollect.workers import Failures, Worker

# Events are buffered this long, in ns, for older ones that arrive after them.
WINDOW_NS = 5_000_000
# Maximum time that other threads may keep the interpreter's lock. Python's own 5 ms would be the time of a
# whole batch.
_SWITCH_SECONDS = 0.0005
# Nice value of this thread alone: if all CPUs are busy firing, an equal share of them is too little to keep
# up.
_NICE = -10
# The content of a full buffer is read in 0.1 s if a CPU is free.
FINISH_SECONDS = 10.0


class Reader:
    """Reads all sources from `start` to `finish`.

    Publishes events in the order of their times, except for those that arrive after younger ones have been
    published; `out_of_order` counts these. Events of one thread are always in order. After `max_events`
    events, the rest counts as filtered and `on_end` is called once. `failures` gets errors of reading.
    """

    def __init__(
        self,
        sources: Sequence[Drainable],
        hub: Hub,
        accounts: Accounts,
        max_events: int | None,
        on_end: Callable[[], None],
        failures: Failures,
    ) -> None:
        # With a single source, the source's own wait and order are all that is needed.
        self._events = sources[0] if len(sources) == 1 else Merge(sources)
        self._hub = hub
        self._accounts = accounts
        self._left = max_events
        self._on_end = on_end
        self._give_up = float("inf")
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._worker = Worker("read events", self._run, failures)

    @property
    def out_of_order(self) -> int:
        """Number of events that were published after younger ones."""
        return self._events.out_of_order

    def start(self) -> None:
        """Raises JcollectError if no thread can be started."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        # Objects that exist by now stay. Another garbage collection over them would take 20 ms, during which
        # nothing is read: the modules alone are tens of thousands of objects.
        gc.collect()
        gc.freeze()
        self._worker.start()

    def finish(self, seconds: float = FINISH_SECONDS) -> bool:
        """Drains what is left and stops; returns false if that takes more than `seconds`.

        It uses all of that time if probes still fire.
        """
        os.eventfd_write(self._stop, 1)
        self._give_up = time.monotonic() + seconds
        return self._worker.join(seconds)

    def _run(self) -> None:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while drained := self._events.wait_and_drain(WINDOW_NS, self._stop):
            self._publish(drained.batch)
        while time.monotonic() < self._give_up:
            drained = self._events.drain()
            self._publish(drained.batch)
            if not drained.more:
                break

    def _publish(self, batch: Batch) -> None:
        if self._left is not None:
            batch = self._limit(batch, self._left)
        if len(batch):
            # Counted before it is published: a subscriber that has received an event finds it in the hit
            # counts.
            self._accounts.deliver(batch.columns.probe)
            self._hub.publish(batch)

    def _limit(self, batch: Batch, left: int) -> Batch:
        """Returns the part of a batch that max_events leave."""
        allowed = min(left, len(batch))
        self._left = left - allowed
        if allowed == len(batch) and self._left:
            return batch
        self._accounts.filter(batch.columns.probe[allowed:])
        if left:
            self._on_end()
        return batch.pick(np.arange(len(batch)) < allowed)

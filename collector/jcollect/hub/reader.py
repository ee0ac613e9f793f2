"""The thread that empties the ring: records to columns to the hub, with everything counted."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

from jcollect.hub.accounts import Accounts
from jcollect.hub.hub import Hub
from jcollect.layout.drain import Pace
from jcollect.sources.bpf.record import Drained, RecordDecoder
from jcollect.sources.bpf.ring import Ring
from jcollect.sources.columns import Batch
from jcollect.workers import Failures, Worker

# Events are held back for so long, for those that are older and come later.
WINDOW_NS = 5_000_000
# The handlers wake nobody up (the traced thread would pay for it), so the ring is looked at this often, in
# ms; when nothing comes, less and less often, because each time costs some 50 us of CPU.
_SHORTEST_PAUSE = 5
_LONGEST_PAUSE = 25
# What a thread that does nothing but fire writes in a ms. No pause may be so long that it fills half a ring.
_BYTES_A_MS = 150_000
# The others may keep the interpreter's lock for so long, where Python's own 5 ms would be a batch's whole
# time.
_SWITCH_SECONDS = 0.0005
# Of this thread alone: where every CPU is busy firing, an equal share of them would not do to keep up.
_NICE = -10
# What the ring holds is read in a tenth of a second, where there is a CPU for it.
FINISH_SECONDS = 10.0


class Reader:
    """Drains the ring every few milliseconds from `start` to `finish`.

    Publishes events in the order of their times, except for those that come so late that newer ones have
    been published; `out_of_order` counts these. Events of one thread are always in order. After `max_events`
    events, the rest counts as filtered and `on_end` is called, once. `failures` gets errors of reading.
    """

    def __init__(
        self,
        ring: Ring,
        decoder: RecordDecoder,
        hub: Hub,
        accounts: Accounts,
        max_events: int | None,
        on_end: Callable[[], None],
        failures: Failures,
    ) -> None:
        self._ring = ring
        self._decoder = decoder
        self._hub = hub
        self._accounts = accounts
        self._left = max_events
        self._on_end = on_end
        self._give_up = float("inf")
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._worker = Worker("read events", self._run, failures)

    @property
    def out_of_order(self) -> int:
        return self._decoder.out_of_order

    def start(self) -> None:
        """Raises JcollectError where no thread can be started."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        # What there is by now stays. To look through it for garbage once more takes 20 ms, in which nobody
        # reads: the modules alone are tens of thousands of objects.
        gc.collect()
        gc.freeze()
        self._worker.start()

    def finish(self, seconds: float = FINISH_SECONDS) -> bool:
        """Drains what is left and stops; whether it has, within so many seconds.

        It takes all of them if handlers still run.
        """
        os.eventfd_write(self._stop, 1)
        self._give_up = time.monotonic() + seconds
        return self._worker.join(seconds)

    def _run(self) -> None:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        pace = Pace(
            window=WINDOW_NS, shortest_pause=_SHORTEST_PAUSE, longest_pause=_longest_pause(self._ring)
        )
        while drained := self._decoder.wait_and_drain(self._ring, pace, self._stop):
            self._publish(drained)
        while time.monotonic() < self._give_up:
            drained = self._decoder.drain(self._ring)
            self._publish(drained)
            if not drained.more:
                break

    def _publish(self, drained: Drained) -> None:
        if len(drained.senseless):
            self._accounts.lose_in_collector(drained.senseless)
        batch = drained.batch
        if self._left is not None:
            batch = self._limit(batch, self._left)
        if len(batch):
            # Counted before it is published: who has received an event finds it in the books.
            self._accounts.deliver(batch.columns.probe)
            self._hub.publish(batch)

    def _limit(self, batch: Batch, left: int) -> Batch:
        """The part of a batch that max_events leave."""
        allowed = min(left, len(batch))
        self._left = left - allowed
        if allowed == len(batch) and self._left:
            return batch
        self._accounts.filter(batch.columns.probe[allowed:])
        if left:
            self._on_end()
        return batch.pick(np.arange(len(batch)) < allowed)


def _longest_pause(ring: Ring) -> int:
    half = int(ring.memory.bytes) // 2 // _BYTES_A_MS
    return max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, half))

"""The thread that empties the ring: records to columns to the hub, with everything counted."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

import numpy as np

from jcollect.stream.accounts import Accounts
from jcollect.stream.columns import Batch
from jcollect.stream.hub import Hub
from jcollect.stream.record import RecordDecoder
from jcollect.stream.ring import Ring

# The handlers wake nobody up (the traced thread would pay for it), so the ring is looked at this often.
POLL_SECONDS = 0.005
# Of this thread alone: where every CPU is busy firing, an equal share of them would not do to keep up.
_NICE = -10
_BATCH_EVENTS = 4096
_BATCH_BYTES = 512 << 10  # A full batch of the smallest records is 256 KiB.


class Reader:
    """Drains the ring every few milliseconds from `start` to `finish`.

    After `max_events` events, the rest is counted as filtered and `on_end` is called, once. It is also
    called should reading fail; `finish` then raises what went wrong.
    """

    def __init__(
        self,
        ring: Ring,
        decoder: RecordDecoder,
        hub: Hub,
        accounts: Accounts,
        max_events: int | None,
        on_end: Callable[[], None],
    ) -> None:
        self._ring = ring
        self._decoder = decoder
        self._hub = hub
        self._accounts = accounts
        self._left = max_events
        self._on_end = on_end
        self._seq = 0
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ring reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Drains what is left and stops. No handler may be running any more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            while not self._stop.wait(POLL_SECONDS):
                # As long as there are full batches. To chase what is written meanwhile would mean
                # batches of a few events, each at the price of a full one.
                while self._take_batch() >= _BATCH_BYTES // 2:
                    pass
            while self._take_batch():
                pass
        except BaseException as error:
            self._error = error
            self._on_end()

    def _take_batch(self) -> int:
        """Bytes taken out of the ring; 0 when it is empty."""
        raw = self._ring.read(_BATCH_EVENTS, _BATCH_BYTES)
        if raw is None:
            return 0
        batch, senseless = self._decoder.decode(raw, self._seq)
        self._seq += len(raw.starts)
        if senseless is not None:
            self._accounts.lose_in_collector(senseless)
        if self._left is not None:
            batch = self._limit(batch, self._left)
        if len(batch):
            # Counted before it is published: who has received an event finds it in the books.
            self._accounts.deliver(batch.columns.probe)
            self._hub.publish(batch)
        return len(raw.data)

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

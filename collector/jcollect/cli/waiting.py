"""Waits for a worker that prints a stream, until it ends or the command is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

from jcollect.errors import Interrupted
from jcollect.stop_request import StopRequest
from jcollect.workers import Worker

# After the end of its stream, a worker may take this long without progress, and at most the second time in
# total.
GRACE_SECONDS = 3.0
MOST_SECONDS = 30.0
# Time beyond its duration after which a stream is ended by the client.
_LATE_SECONDS = 6.0
_TICK_SECONDS = 0.1


def wait_for(
    worker: Worker,
    stop: StopRequest,
    close: Callable[[], None],
    seconds: float | None,
    progressed: Callable[[], float],
) -> bool:
    """Waits for a worker that reads a stream; returns true if it has ended.

    Calls `close`, which ends the stream, when a stop is requested. Otherwise the stream ends on its own
    after `seconds`, if given. `progressed` returns the time.monotonic() of the worker's last progress.
    """
    deadline = float("inf") if seconds is None else time.monotonic() + seconds + _LATE_SECONDS
    while not worker.join(0.0) and not stop.is_requested() and time.monotonic() < deadline:
        stop.wait(min(_TICK_SECONDS, deadline - time.monotonic()))
    try:
        close()
        return wait_until_drained(worker, progressed)
    except Interrupted:
        return worker.join(0.0)


def wait_until_drained(worker: Worker, progressed: Callable[[], float]) -> bool:
    """Waits for a worker whose stream has ended; returns true if it ends in time."""
    begun = time.monotonic()
    while not worker.join(_TICK_SECONDS):
        now = time.monotonic()
        if now - max(begun, progressed()) > GRACE_SECONDS or now - begun > MOST_SECONDS:
            return False
    return True

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
_TICK_SECONDS = 0.1


def wait_for(
    worker: Worker,
    stop: StopRequest,
    close: Callable[[], None],
    seconds: float | None,
    begun: Callable[[], float | None],
    progressed: Callable[[], float],
) -> bool:
    """Waits for a worker that reads a stream; returns true if it has ended.

    Calls `close`, which ends the stream, when a stop is requested, and `seconds` after the stream has begun,
    if given. `begun` returns the time.monotonic() at which it began; None until then. `progressed` returns
    that of the worker's last progress.
    """
    while not worker.join(0.0) and not stop.is_requested():
        since = begun()
        left = _TICK_SECONDS if seconds is None or since is None else since + seconds - time.monotonic()
        if left <= 0:
            break
        stop.wait(min(_TICK_SECONDS, left))
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

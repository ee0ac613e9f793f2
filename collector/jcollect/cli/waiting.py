"""Waiting for a worker that prints a stream, until it or something else ends the command."""

from __future__ import annotations

import time
from collections.abc import Callable

from jcollect.errors import Interrupted
from jcollect.stop_request import End
from jcollect.workers import Worker

# Once its stream is to end, a worker goes on for so long, and for as long as what it writes is read: at most
# for the second.
GRACE_SECONDS = 3.0
MOST_SECONDS = 30.0
# A stream that ends by itself may begin late, and its end be seen late.
_LATE_SECONDS = 6.0
_TICK_SECONDS = 0.1


def wait_for(
    worker: Worker,
    end: End,
    close: Callable[[], None],
    seconds: float | None,
    progressed: Callable[[], float],
) -> bool:
    """Whether the worker has ended. `close` ends its stream, once `end` does; without that it ends after
    `seconds`, if there are any. `progressed` is when it has last done something, by time.monotonic()."""
    over = float("inf") if seconds is None else time.monotonic() + seconds + _LATE_SECONDS
    while not worker.join(0.0) and end.going_on() and time.monotonic() < over:
        end.wait(min(_TICK_SECONDS, over - time.monotonic()))
    try:
        close()
        return wait_for_rest(worker, progressed)
    except Interrupted:
        return worker.join(0.0)


def wait_for_rest(worker: Worker, progressed: Callable[[], float]) -> bool:
    """Whether it has ended within the grace that it has once nothing more is to come."""
    begun = time.monotonic()
    while not worker.join(_TICK_SECONDS):
        now = time.monotonic()
        if now - max(begun, progressed()) > GRACE_SECONDS or now - begun > MOST_SECONDS:
            return False
    return True

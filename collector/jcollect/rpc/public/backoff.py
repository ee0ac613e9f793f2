"""When a stream tries to connect again, and when it gives up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

from jcollect.errors import JcollectError
from jcollect.rpc.public.items import Reconnect

# A connection of this length is no failed attempt, even if nothing came.
_LASTING_SECONDS = 10.0
_MOST_DOUBLINGS = 30
# Ends of a stream behind which another one may follow.
BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED)
# The same while a collector starts: its probes may not be there yet, and others may connect as well.
NOT_YET = (
    *BROKEN,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
# Makes an error of a gRPC error, and of whether the stream had begun.
Explain = Callable[[Any, bool], JcollectError]


class Backoff:
    """The attempts of one stream. `place` is the address of the collector."""

    def __init__(self, reconnect: Reconnect, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._reconnect = reconnect
        self._place = place
        self._clock = clock
        self._failing_since: float | None = None
        self._attempts = 0
        self._connected_at = clock()

    def connecting(self) -> None:
        self._connected_at = self._clock()

    def succeeded(self) -> None:
        """Forgets the failed attempts."""
        self._failing_since = None

    def delay(self, reason: Callable[[], JcollectError] | None = None) -> float:
        """Returns the seconds to wait before the next attempt. Raises JcollectError, with the reason of
        the last failure, if none has succeeded for too long."""
        now = self._clock()
        if self._failing_since is None or now - self._connected_at > _LASTING_SECONDS:
            self._failing_since, self._attempts = now, 0
        seconds = self._reconnect.seconds
        if now - self._failing_since >= seconds:
            why = f": {reason().message}" if reason is not None else ""
            raise JcollectError(f"cannot reconnect to the collector at {self._place} for {seconds:g} s{why}")
        delay = self._reconnect.first_delay * 2.0 ** min(self._attempts, _MOST_DOUBLINGS)
        self._attempts += 1
        return min(delay, self._reconnect.longest_delay)

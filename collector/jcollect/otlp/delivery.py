"""Sends requests to an endpoint in a thread of its own: a bounded queue, retries, and a count of what is
dropped.

OTLP's specification says which errors may pass, and that a client backs off exponentially.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grpc

from jcollect.console import plural, status, warn
from jcollect.shortened import shortened
from jcollect.workers import Failures, Worker

# Maximum time for one request, and for a request with its retries.
_CALL_SECONDS = 10.0
_RETRY_SECONDS = 300.0
_FIRST_BACKOFF_SECONDS = 0.5
_MOST_BACKOFF_SECONDS = 30.0
_LAST_BACKOFF_SECONDS = 0.1
_MOST_DETAILS = 200
_PASSING = frozenset(
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
# A receiver that is overloaded, and not one without quota, says when to come back.
_DETAILS_KEY, _RETRY_INFO = "grpc-status-details-bin", b"google.rpc.RetryInfo"

# Sends a request within so many seconds, and returns how many of its items were rejected, and why. Raises
# grpc.RpcError.
Send = Callable[[Any, float], tuple[int, str]]


class DeliveryCounts(NamedTuple):
    """Numbers of items: spans, or sets of metrics. `failures` is that of requests that had to be repeated or
    were given up."""

    name: str
    exported: int
    dropped: int
    failures: int


class _Parcel(NamedTuple):
    requests: Sequence[Any]
    items: int


class Delivery:
    """Delivers parcels of requests in order. `put` is for any thread, and never waits."""

    def __init__(
        self,
        name: str,
        where: str,
        send: Send,
        most_items: int,
        failures: Failures,
        keeps_newest: bool = False,
    ) -> None:
        """`name` is that of the items, as in "span". Beyond `most_items`, new parcels are dropped; with
        `keeps_newest` instead those that a newer one replaces. Raises JcollectError if no thread can be
        started."""
        self._name = name
        self._where = where
        self._send = send
        self._most = most_items
        self._keeps_newest = keeps_newest
        self._changed = threading.Condition()
        self._queue: deque[_Parcel] = deque()
        self._queued = 0
        self._exported = self._dropped = self._failures = 0
        # The time.monotonic() at which everything is given up; None until the end begins.
        self._end: float | None = None
        self._is_failing = self._has_rejected = False
        self._worker = Worker(f"export {name}s", self._run, failures).start()

    @property
    def room(self) -> int:
        """Number of further items that the queue takes."""
        return self._most - self._queued

    def put(self, requests: Sequence[Any], items: int) -> None:
        with self._changed:
            while self._keeps_newest and self._queue and self._queued + items > self._most:
                old = self._queue.popleft()
                self._queued -= old.items
                self._dropped += old.items
            if self._end is not None or (self._queued + items > self._most and self._queue):
                self._dropped += items
                return
            self._queue.append(_Parcel(requests, items))
            self._queued += items
            self._changed.notify_all()

    def drop(self, items: int) -> None:
        """Counts items that are not put, because there is no room for them."""
        with self._changed:
            self._dropped += items

    def counts(self) -> DeliveryCounts:
        with self._changed:
            return DeliveryCounts(self._name, self._exported, self._dropped, self._failures)

    def begin_end(self, seconds: float) -> None:
        """Lets what is queued be delivered within `seconds`, and takes no more."""
        with self._changed:
            self._end = time.monotonic() + seconds
            self._changed.notify_all()

    def wait(self) -> None:
        """Waits for the end that has begun. Whatever is not delivered then counts as dropped."""
        assert self._end is not None
        self._worker.join(self._end - time.monotonic())
        with self._changed:
            self._dropped += self._queued
            self._queue.clear()
            self._queued = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._end is not None)
                if not self._queue:
                    return
                parcel = self._queue[0]
            is_delivered, rejected = self._deliver(parcel)
            with self._changed:
                # `put` may have dropped it for a newer one, or `wait` have given up.
                if self._queue and self._queue[0] is parcel:
                    self._queue.popleft()
                    self._queued -= parcel.items
                    lost = min(rejected, parcel.items) if is_delivered else parcel.items
                    self._exported += parcel.items - lost
                    self._dropped += lost

    def _deliver(self, parcel: _Parcel) -> tuple[bool, int]:
        """Returns true if it was delivered, and how many of its items were rejected."""
        given_up = time.monotonic() + _RETRY_SECONDS
        backoff, rejected, sent = _FIRST_BACKOFF_SECONDS, 0, 0
        while sent < len(parcel.requests):
            if self._end is not None and time.monotonic() >= self._end:
                return False, 0
            try:
                more, why = self._send(parcel.requests[sent], self._seconds_left(_CALL_SECONDS))
            except ValueError:
                if self._end is None:
                    raise
                return False, 0  # The channel is closed: nothing waits for the end any more.
            except grpc.RpcError as error:
                may_pass = _may_pass(error)
                self._report(error, may_pass)
                with self._changed:
                    self._failures += 1
                    now = time.monotonic()
                    if not may_pass or now > given_up or (self._end is not None and now >= self._end):
                        return False, 0
                    if self._keeps_newest and len(self._queue) > 1:
                        return False, 0
                    # Jitter keeps many collectors from returning at the same moment.
                    seconds = backoff * random.uniform(0.5, 1.0)
                    if self._end is not None:
                        seconds = min(_LAST_BACKOFF_SECONDS, self._end - now)
                    has_ended = self._end is not None
                    self._changed.wait_for(lambda: (self._end is not None) != has_ended, seconds)  # noqa: B023
                backoff = min(2 * backoff, _MOST_BACKOFF_SECONDS)
                continue
            sent += 1
            rejected += more
            if more and not self._has_rejected:
                self._has_rejected = True
                warn(f"{self._where} rejects {plural(more, self._name)}: {shortened(why, _MOST_DETAILS)}")
        if self._is_failing:
            self._is_failing = False
            status(f"exporting {self._name}s to {self._where} again")
        return True, rejected

    def _seconds_left(self, most: float) -> float:
        end = self._end
        return most if end is None else max(0.05, min(most, end - time.monotonic()))

    def _report(self, error: grpc.RpcError, may_pass: bool) -> None:
        # One line until it works again: a busy program has hundreds of requests per second.
        if self._is_failing or (self._end is not None and time.monotonic() >= self._end):
            return
        self._is_failing = True
        reason = shortened(f"{error.code().name}: {error.details()}", _MOST_DETAILS)
        then = (
            "jcollect retries, and drops what has no room" if may_pass else f"the {self._name}s are dropped"
        )
        warn(f"cannot export {self._name}s to {self._where}: {reason}; {then}")


def _may_pass(error: grpc.RpcError) -> bool:
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        trailing = error.trailing_metadata() or ()
        return any(key == _DETAILS_KEY and _RETRY_INFO in value for key, value in trailing)
    return error.code() in _PASSING

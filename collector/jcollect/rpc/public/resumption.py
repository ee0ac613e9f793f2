"""Decides what a stream of events does after each message and each broken connection: passes events on,
reports gaps, goes on from its cursor, or gives up. Reads no socket, so that both kinds of streams share
it.

No event arrives twice, because a cursor is the position after the last message that was received. None is
missing without a Gap or a count in `lost`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc

from jcollect.hub.items import Skipped
from jcollect.hub.stream_options import MASKABLE
from jcollect.rpc.public.backoff import BROKEN, NOT_YET, Backoff, Explain
from jcollect.rpc.public.batch import Batch
from jcollect.rpc.public.items import Cursor, Gap, GapReason, Lost, Reconnect
from jcollect.rpc.public.received import Received
from jcollect.rpc.stream_request import COLUMNS
from jprobe.v1 import collector_pb2

_LOG = logging.getLogger("jcollect")
# Gaps that are kept: the latest.
_MOST_GAPS = 1000


class Resumption:
    """One stream over all of its connections."""

    def __init__(
        self,
        request: collector_pb2.SubscribeRequest,
        place: str,
        reconnect: Reconnect | None,
        on_gap: Callable[[Gap], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`place` is the address of the collector. Without `reconnect`, the first broken connection is an
        error. Without `on_gap`, gaps are logged as warnings of the logger "jcollect"."""
        self._request = request
        self._place = place
        self._reconnect = reconnect
        self._backoff = Backoff(reconnect or Reconnect(), place, clock)
        self._on_gap = on_gap
        self.received = Received()
        self.connections = 0
        self.gaps: deque[Gap] = deque(maxlen=_MOST_GAPS)
        self._cursor = Cursor.of(request.after) if request.HasField("after") else None
        self._has_begun = False
        self._is_restarted = False
        # Reported with the first message of the next connection.
        self._pending: Gap | None = None
        # Sums of the connections before.
        self._lost: dict[str, int] = {}
        self._skipped = Skipped()
        self._throttled = 0

    @property
    def cursor(self) -> Cursor | None:
        """The position after the last message."""
        return self.received.cursor or self._cursor

    @property
    def lost(self) -> Lost:
        by_stage = dict(self._lost)
        for stage, events in self.received.lost.items():
            by_stage[stage] = by_stage.get(stage, 0) + events
        return Lost(sum(by_stage.values()), by_stage)

    @property
    def skipped(self) -> Skipped:
        now = self.received.skipped
        before = self._skipped
        return Skipped(
            before.filtered + now.filtered, before.sampled + now.sampled, before.over_rate + now.over_rate
        )

    @property
    def throttled(self) -> int:
        return self._throttled + self.received.throttled

    @property
    def is_described(self) -> bool:
        """True if the current connection has described its probes."""
        return self.received.is_described

    def begin(self) -> collector_pb2.SubscribeRequest:
        """Returns the request of the next connection."""
        self.connections += 1
        self._lost = dict(self.lost.by_stage)
        self._skipped = self.skipped
        self._throttled = self.throttled
        self._cursor = self.cursor
        self.received = Received(_columns(self._request))
        self._backoff.connecting()
        request = collector_pb2.SubscribeRequest()
        request.CopyFrom(self._request)
        if self._is_restarted:
            # All that the new collector holds is new.
            request.since_unix_nanos = 0
        elif self._has_begun and self._cursor is not None:
            request.after.CopyFrom(self._cursor.message())
        elif self._has_begun:
            request.ClearField("begin")
        return request

    def take(self, message: bytes) -> Batch | None:
        """Returns the events of a message, if it has any. Raises MalformedStreamError."""
        received = self.received
        lost = received.lost_events
        columns = received.take(message)
        if not received.is_described:
            return None
        if not self._has_begun or self._pending is not None or self._is_restarted:
            self._has_begun = True
            self._is_restarted = False
            pending, self._pending = self._pending, None
            if pending is not None:
                self._report(pending)
        if received.history is not None:
            history, received.history = received.history, None
            self._backoff.succeeded()
            if history.missed:
                self._report(Gap(history.missed, history.missed_is_bound, GapReason.HISTORY))
        if received.lost_events != lost:
            self._log_losses()
        if columns is None or not len(columns):
            return None
        self._backoff.succeeded()
        return Batch(columns, received.probes(), received.cursor)

    def after_end(self) -> float | None:
        """Returns the seconds to wait before the next connection after the collector has ended the stream;
        None if the stream is complete."""
        if self._reconnect is None or not self._reconnect.after_end or self._request.only_history:
            return None
        self._pending = self._gap()
        return self._backoff.delay()

    def after_error(self, error: Any, explain: Explain) -> float:
        """Returns the seconds to wait before the next connection. Raises what `explain` makes of the error
        if there shall be none."""
        code, had_begun = error.code(), self.received.is_described
        if code == grpc.StatusCode.FAILED_PRECONDITION and not had_begun and self._has_sent_cursor():
            # The epoch is that of an earlier run.
            self._pending = Gap(None, False, GapReason.RESTART)
            self._is_restarted = True
            return 0.0
        if self._reconnect is None or not self._has_begun or not self._may_follow(code, had_begun):
            raise explain(error, had_begun)
        if had_begun:
            self._pending = self._gap()
        return self._backoff.delay(lambda: explain(error, had_begun))

    def _has_sent_cursor(self) -> bool:
        if self._is_restarted:
            return False
        return self._cursor is not None if self._has_begun else self._request.HasField("after")

    def _may_follow(self, code: grpc.StatusCode, had_begun: bool) -> bool:
        if not had_begun:
            return code in NOT_YET
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return self._request.on_overflow == collector_pb2.ON_OVERFLOW_DISCONNECT
        return code in BROKEN

    def _gap(self) -> Gap | None:
        """Returns the gap that the end of a connection leaves, as far as it is known before the next one
        begins."""
        if self.received.cursor is None:
            return Gap(None, False, GapReason.NO_HISTORY)
        unreported = self.received.unreported()
        if not unreported:
            return None
        request = self._request
        is_filtered = bool(request.where or request.sample_every > 1 or request.max_rate)
        return Gap(unreported, is_filtered, GapReason.UNREPORTED)

    def _report(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if self._on_gap is not None:
            self._on_gap(gap)
        else:
            _LOG.warning("collector at %s: %s", self._place, gap)

    def _log_losses(self) -> None:
        lost = self.lost
        stages = ", ".join(f"{stage} {events:,}" for stage, events in lost.by_stage.items() if events)
        _LOG.warning("collector at %s: %s events lost so far: %s", self._place, f"{lost.events:,}", stages)


def _columns(request: collector_pb2.SubscribeRequest) -> frozenset[str]:
    """Returns the names of the columns that a request asks for."""
    return frozenset(COLUMNS[column] for column in request.columns) or MASKABLE

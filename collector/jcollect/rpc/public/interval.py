"""Histograms of the calls of one interval, and a stream of them over all of its connections. Reads no
socket, as resumption.py. A connection that breaks loses the calls since its last interval: nothing holds
them."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jcollect.errors import JcollectError
from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.probes.description import Described
from jcollect.rpc.incoming_intervals import IncomingIntervals
from jcollect.rpc.limits import MOST_KEY_BYTES
from jcollect.rpc.public.backoff import BROKEN, NOT_YET, Backoff, Explain
from jcollect.rpc.public.items import Gap, GapReason, Reconnect
from jcollect.rpc.public.probe import Probe, probe_of
from jcollect.session.aggregation import CountedInterval
from jprobe.v1 import collector_pb2

_LOG = logging.getLogger("jcollect")
_MOST_GAPS = 1000


@dataclass(frozen=True, slots=True)
class Throttled:
    """Calls that a histogram leaves out, because of the overhead limit: their number while the method was
    still woven, and the time in ns during which it was unwoven."""

    calls: int
    nanos: int


@dataclass(frozen=True, slots=True)
class Interval:
    """The calls of an interval by the probe at which they ended; probes without calls are left out. Times
    are in ns since 1970. Histograms can be added up with +."""

    start_unix_nanos: int
    end_unix_nanos: int
    histograms: Mapping[Probe, ExponentialHistogram]
    throttled: Mapping[Probe, Throttled]


class IntervalResumption:
    """A stream of intervals."""

    def __init__(
        self,
        request: collector_pb2.AggregateRequest,
        place: str,
        reconnect: Reconnect | None,
        on_gap: Callable[[Gap], object] | None = None,
    ) -> None:
        """As Resumption does."""
        self._request = request
        self._place = place
        self._reconnect = reconnect if request.interval_millis else None
        self._backoff = Backoff(reconnect or Reconnect(), place)
        self._on_gap = on_gap
        self._parts = IncomingIntervals()
        self._probes: dict[int, Described] = {}
        self._known: dict[int, Probe] = {}
        self._has_begun = False
        self._is_resumed = False
        self._is_ending = False
        self.is_described = False
        self.gaps: deque[Gap] = deque(maxlen=_MOST_GAPS)

    def begin(self) -> collector_pb2.AggregateRequest:
        """Returns the request of the next connection."""
        # The collector may not have noticed yet that the connection before is broken.
        self._request.key = os.urandom(MOST_KEY_BYTES)
        self._parts = IncomingIntervals()
        self._probes, self._known = {}, {}
        self.is_described = False
        self._backoff.connecting()
        return self._request

    def take(self, message: bytes) -> Interval | None:
        """Returns the interval that a message completes; None for the first one of a connection, which only
        describes the probes. Raises MalformedStreamError."""
        counted = self._parts.add(message)
        if counted is None:
            return None
        self._describe(counted)
        if not self.is_described:
            self.is_described = self._has_begun = True
            if self._is_resumed:
                self._report(Gap(None, False, GapReason.NO_HISTORY))
            if self._request.interval_millis:
                return None
        self._backoff.succeeded()
        return Interval(
            counted.start_unix_nanos,
            counted.end_unix_nanos,
            {self._probe(number): histogram for number, histogram in counted.histograms},
            {
                self._probe(each.probe): Throttled(each.throttled, each.throttled_ns)
                for each in counted.throttled
            },
        )

    def _describe(self, counted: CountedInterval) -> None:
        for probe in counted.probes:
            self._probes[probe.id] = probe
            self._known.pop(probe.id, None)

    def _probe(self, number: int) -> Probe:
        known = self._known.get(number)
        if known is None:
            message = self._probes[number]
            assert isinstance(message, collector_pb2.Probe)
            known = self._known[number] = probe_of(message)
        return known

    def ending(self) -> collector_pb2.EndAggregateRequest:
        """Returns the request that ends the stream with the calls since its last interval."""
        self._is_ending = True
        return collector_pb2.EndAggregateRequest(key=self._request.key)

    def after_end(self) -> float | None:
        """As Resumption.after_end."""
        if self._is_ending:
            return None
        if self._reconnect is None or not self._reconnect.after_end:
            return None
        self._is_resumed = True
        return self._backoff.delay()

    def after_error(self, error: Any, explain: Explain) -> float:
        """As Resumption.after_error."""
        had_begun = self.is_described
        may_follow = error.code() in (BROKEN if had_begun else NOT_YET)
        if self._reconnect is None or not self._has_begun or not may_follow:
            raise explain(error, had_begun)
        self._is_resumed = True

        def reason() -> JcollectError:
            return explain(error, had_begun)

        return self._backoff.delay(reason)

    def _report(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if self._on_gap is not None:
            self._on_gap(gap)
        else:
            _LOG.warning("collector at %s: %s", self._place, gap)

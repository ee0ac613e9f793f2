"""Decodes the histograms of an untrusted server: checks each before it becomes a value, and bounds memory."""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError

from jcollect.errors import MalformedStreamError
from jcollect.exponential_histogram import MIN_SCALE, SCALE, ExponentialHistogram
from jcollect.hub.items import ThrottledCalls
from jcollect.limits import MAX_COLLECTOR_PROBES
from jcollect.probes.description import Described
from jcollect.rpc.elements import parse
from jcollect.rpc.incoming import MOST_DESCRIBED_BYTES, MOST_PROBE_BYTES
from jcollect.session.aggregation import CountedInterval
from jprobe.v1 import collector_pb2

# A duration of 64 bits has no bucket beyond these at the finest scale.
_FIRST_BUCKET, _LAST_BUCKET = -1, 64 << SCALE
_MOST_CALLS = (1 << 63) - 1


class IncomingIntervals:
    """Puts the messages of one stream together."""

    def __init__(self) -> None:
        self._probes: list[Described] = []
        self._histograms: list[tuple[int, ExponentialHistogram]] = []
        self._throttled: list[ThrottledCalls] = []
        self._sizes: dict[int, int] = {}
        self._bytes = 0

    def add(self, message: bytes) -> CountedInterval | None:
        """Returns the interval if the message completes it. Raises MalformedStreamError."""
        try:
            part = parse(collector_pb2.AggregateResponse, message)
        except DecodeError as error:
            raise MalformedStreamError(f"a message cannot be decoded: {error}") from None
        for probe in part.probes:
            self._describe(probe)
        for each in part.histograms:
            self._check_is_described(each.probe)
            self._histograms.append((each.probe, _histogram(each)))
        for calls in part.throttled:
            self._check_is_described(calls.probe)
            self._throttled.append(ThrottledCalls(calls.probe, calls.throttled, calls.throttled_nanos))
        most = max(len(self._histograms), len(self._probes), len(self._throttled))
        if most > MAX_COLLECTOR_PROBES:
            raise MalformedStreamError(f"an interval has more than {MAX_COLLECTOR_PROBES:,} probes")
        if part.has_more:
            return None
        probes, self._probes = self._probes, []
        histograms, self._histograms = self._histograms, []
        throttled, self._throttled = self._throttled, []
        return CountedInterval(probes, histograms, part.start_unix_nanos, part.end_unix_nanos, throttled)

    def _check_is_described(self, probe: int) -> None:
        if probe not in self._sizes:
            raise MalformedStreamError("it has calls of a probe that was not described")

    def _describe(self, probe: collector_pb2.Probe) -> None:
        size = probe.ByteSize()
        if probe.id >= MAX_COLLECTOR_PROBES:
            raise MalformedStreamError(f"it has a probe with the ID {probe.id:,}")
        if size > MOST_PROBE_BYTES:
            raise MalformedStreamError(f"the description of a probe has {size:,} bytes")
        self._bytes += size - self._sizes.get(probe.id, 0)
        self._sizes[probe.id] = size
        if self._bytes > MOST_DESCRIBED_BYTES:
            raise MalformedStreamError(f"its descriptions have {self._bytes:,} bytes")
        self._probes.append(probe)


def _histogram(message: collector_pb2.Histogram) -> ExponentialHistogram:
    """Returns the histogram. Raises MalformedStreamError."""
    first, counts = message.offset, message.bucket_counts
    if not MIN_SCALE <= message.scale <= SCALE:
        raise MalformedStreamError(f"a histogram has the scale {message.scale}")
    if counts and not _FIRST_BUCKET <= first <= first + len(counts) - 1 <= _LAST_BUCKET:
        raise MalformedStreamError(f"a histogram has {len(counts):,} buckets from {first:,} on")
    if message.count != message.zero_count + sum(counts) or message.count > _MOST_CALLS:
        raise MalformedStreamError("the buckets of a histogram do not add up")
    return ExponentialHistogram.of(
        np.array(counts, np.uint64), first, message.zero_count, message.sum_nanos, message.scale
    )

"""The protobuf format of Prometheus, which has native histograms: proto/jprobe/v1/prometheus.proto.

The buckets are those in which the programs count; nothing is converted. Only their numbers differ: Prometheus
numbers buckets by their upper bounds, OpenTelemetry by their lower ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.metrics.families import COUNTER, GAUGE, HISTOGRAM, Family, Sample
from jprobe.v1 import prometheus_pb2

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
_TYPES = {COUNTER: 0, GAUGE: 1, HISTOGRAM: 4}
# In ns. Below 1 ns there are only calls of 0 ns.
_ZERO_THRESHOLD = 0.5
# Scales that Prometheus can store.
_MOST_SCHEMA, _LEAST_SCHEMA = 8, -4
# Up to this number of empty buckets are sent rather than a new span, which needs as many bytes.
_MOST_GAP = 2


def protobuf_of(families: Iterable[Family]) -> bytes:
    """Returns the metrics; those without samples are left out."""
    parts: list[bytes] = []
    for family in families:
        if family.samples:
            message = prometheus_pb2.MetricFamily(
                name=family.name, help=family.help, type=_TYPES[family.kind]
            )
            for sample in family.samples:
                _fill(message.metric.add(), family.kind, sample)
            content = message.SerializeToString()
            parts += [_varint(len(content)), content]
    return b"".join(parts)


def _fill(metric: prometheus_pb2.Metric, kind: str, sample: Sample) -> None:
    for name, value in sample.labels:
        metric.label.add(name=name, value=value)
    if isinstance(sample.value, ExponentialHistogram):
        _fill_histogram(metric.histogram, sample.value)
        return
    number = metric.counter if kind == COUNTER else metric.gauge
    # Zero is not on the wire, and the message must be.
    number.SetInParent()
    number.value = float(sample.value)


def _fill_histogram(message: prometheus_pb2.NativeHistogram, histogram: ExponentialHistogram) -> None:
    histogram = histogram.coarser(min(histogram.scale, _MOST_SCHEMA))
    assert histogram.scale >= _LEAST_SCHEMA
    message.sample_count = histogram.count
    message.sample_sum = float(histogram.total)
    message.schema = histogram.scale
    message.zero_threshold = _ZERO_THRESHOLD
    message.zero_count = histogram.zero
    if not len(histogram.counts):
        # A histogram without buckets and spans would be a classic one.
        message.positive_span.add()
        return
    counts = histogram.counts.astype(np.int64)
    (used,) = np.nonzero(counts)
    # Runs of buckets with at most _MOST_GAP empty ones between.
    breaks = np.flatnonzero(np.diff(used) > _MOST_GAP + 1)
    firsts = used[np.concatenate([[0], breaks + 1])]
    lasts = used[np.concatenate([breaks, [len(used) - 1]])]
    end, before = -histogram.offset - 1, 0
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        message.positive_span.add(offset=first - end, length=last - first + 1)
        run = counts[first : last + 1]
        message.positive_delta.extend(np.diff(run, prepend=before).tolist())
        end, before = last + 1, int(run[-1])


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)

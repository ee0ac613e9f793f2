"""The protobuf format of Prometheus, which has native histograms: proto/jprobe/v1/prometheus.proto.

The buckets are those in which the programs count; nothing is converted. Only their numbers differ: Prometheus
numbers buckets by their upper bounds, OpenTelemetry by their lower ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.metrics.families import COUNTER, GAUGE, HISTOGRAM, Family, Sample
from jcollect.probes.protobuf_fields import encoded_varint
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
            parts += [encoded_varint(len(content)), content]
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
    deltas: list[int] = []
    # The index behind the last bucket of the last span, and the count of that bucket.
    end = before = 0
    span: prometheus_pb2.BucketSpan | None = None
    for bucket, count in histogram.buckets():
        index = bucket + 1
        gap = index - end
        if span is not None and gap <= _MOST_GAP:
            if gap:
                deltas += [-before, *[0] * (gap - 1)]
                before = 0
            span.length += gap + 1
        else:
            span = message.positive_span.add(offset=gap, length=1)
        deltas.append(count - before)
        end, before = index + 1, count
    message.positive_delta.extend(deltas)

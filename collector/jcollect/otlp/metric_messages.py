"""Metrics as OTLP's messages: cumulative, so that an export that fails loses nothing.

Durations are exponential histograms with the buckets in which programs count. Names are those of Prometheus,
without _total, and with a dot for the first underscore: an OpenTelemetry Collector that exports them to
Prometheus restores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    ExponentialHistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.metrics.families import COUNTER, GAUGE, HISTOGRAM, Family, Labels, Sample, families_of
from jcollect.metrics.readings import Reading
from jcollect.otlp.resources import SCOPE, attributes_of, collector_resource, process_resource

# Receivers accept 4 MiB by default.
MOST_REQUEST_BYTES = 1 << 20
# Points of one metric in a message; each histogram has about 1 KiB.
_MOST_POINTS = 100

# PID and name of a process; None for the collector itself.
_Owner = tuple[int, str] | None


def metric_requests(reading: Reading) -> list[ExportMetricsServiceRequest]:
    """Returns one or more requests of at most about MOST_REQUEST_BYTES."""
    by_owner: dict[_Owner, list[Metric]] = {}
    for family in families_of(reading):
        for owner, samples in _by_owner(family.samples).items():
            by_owner.setdefault(owner, []).extend(_metrics(family, samples, reading))
    requests = [ExportMetricsServiceRequest()]
    size = 0
    for owner, metrics in by_owner.items():
        part: ResourceMetrics | None = None
        for metric in metrics:
            size += metric.ByteSize()
            if size > MOST_REQUEST_BYTES and requests[-1].resource_metrics:
                requests.append(ExportMetricsServiceRequest())
                part, size = None, metric.ByteSize()
            if part is None:
                resource = process_resource(*owner) if owner else collector_resource(reading.status.pid)
                part = requests[-1].resource_metrics.add()
                part.resource.CopyFrom(resource)
                part.scope_metrics.append(ScopeMetrics(scope=SCOPE))
            part.scope_metrics[0].metrics.append(metric)
    return requests


def points_in(request: ExportMetricsServiceRequest) -> int:
    """Returns the number of data points."""
    return sum(
        len(getattr(metric, str(metric.WhichOneof("data"))).data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _by_owner(samples: Iterable[Sample]) -> dict[_Owner, list[Sample]]:
    found: dict[_Owner, list[Sample]] = {}
    for sample in samples:
        labels = dict(sample.labels)
        pid = labels.get("pid")
        owner = (int(pid), labels.get("process", "")) if pid else None
        found.setdefault(owner, []).append(sample)
    return found


def _metrics(family: Family, samples: Sequence[Sample], reading: Reading) -> Iterator[Metric]:
    for first in range(0, len(samples), _MOST_POINTS):
        name = family.name.removesuffix("_total").replace("_", ".", 1)
        metric = Metric(name=name, description=family.help, unit=family.unit)
        for sample in samples[first : first + _MOST_POINTS]:
            _add_point(metric, family.kind, sample, reading)
        yield metric


def _add_point(metric: Metric, kind: str, sample: Sample, reading: Reading) -> None:
    attributes = attributes_of(_attributes(sample.labels))
    start = sample.start_unix_nanos or reading.status.started_unix_nanos
    if isinstance(sample.value, ExponentialHistogram):
        assert kind == HISTOGRAM
        histogram = metric.exponential_histogram
        histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        point = histogram.data_points.add(
            attributes=attributes, start_time_unix_nano=start, time_unix_nano=reading.unix_nanos
        )
        _fill(point, sample.value)
        return
    if kind == COUNTER:
        metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.is_monotonic = True
    points = metric.sum.data_points if kind == COUNTER else metric.gauge.data_points
    number: NumberDataPoint = points.add(attributes=attributes, time_unix_nano=reading.unix_nanos)
    if kind != GAUGE:
        number.start_time_unix_nano = start
    if isinstance(sample.value, int):
        number.as_int = sample.value
    else:
        number.as_double = sample.value


def _fill(point: ExponentialHistogramDataPoint, histogram: ExponentialHistogram) -> None:
    point.count = histogram.count
    point.sum = float(histogram.total)
    point.scale = histogram.scale
    point.zero_count = histogram.zero
    if len(histogram.counts):
        point.positive.offset = histogram.offset
        point.positive.bucket_counts.extend(histogram.counts.tolist())


def _attributes(labels: Labels) -> dict[str, str]:
    """Returns the labels without those of the resource, and without empty ones."""
    return {name: value for name, value in labels if value and name not in ("pid", "process")}

"""The export over OTLP to a real receiver: metrics, spans, failures, and the end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from test_lines import RETURN, THROW, Batches

from conditions import wait_until
from counting_target import METHODS, CountingTarget
from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.metrics.families import Family, Sample
from jcollect.metrics.readings import Readings
from jcollect.otlp import delivery, metric_messages, span_exporter
from jcollect.otlp.exporter import OtlpExporter
from jcollect.otlp.metric_messages import MOST_REQUEST_BYTES, metric_requests, points_in
from jcollect.otlp.settings import OtlpSettings, SpanSelection, parse_endpoint
from jcollect.otlp.slow_calls import SlowCalls
from jcollect.otlp.span_messages import span_of
from jcollect.rpc.limits import Turns
from jcollect.session.options import SessionSettings
from jcollect.session.session import Session
from list_source import ListSource, batch_of
from metrics_text import samples_of
from otlp_receiver import Receiver, attributes
from reference_histogram import histogram_of
from row_formats import json_line
from rows import RowDecoder

PLACE, CLOSE = range(2)
assert [method.method for method in METHODS] == ["place", "close"]


class Exporting:
    """A session of this process with an exporter."""

    def __init__(self, target: CountingTarget, session: Session, source: ListSource) -> None:
        self.target = target
        self.session = session
        self.source = source
        self.readings = Readings(session, 500)
        self.exporter: OtlpExporter | None = None
        self.ids = {(each.method, each.kind): each.id for each in session.describe()}

    def begin(self, settings: OtlpSettings) -> None:
        self.exporter = OtlpExporter(self.session, self.readings, Turns(), settings)

    def fire(self, method: str, kind: int, durations: list[int]) -> None:
        """Publishes events of these durations."""
        batch = batch_of([(time.monotonic_ns() - 10**7, self.ids[method, kind])] * len(durations))
        values = np.full(len(durations), 42, np.uint64)
        columns = replace(batch.columns, duration_nanos=np.array(durations, np.uint64))
        if (method, kind) == ("close", RETURN):
            batch = replace(batch, value_counts=np.ones(len(durations), np.uint32))
            columns = replace(columns, values=values)
        if kind == THROW:
            # A string that is null.
            batch = replace(batch, value_counts=np.ones(len(durations), np.uint32))
            columns = replace(columns, values=0 * values)
        self.source.put(replace(batch, columns=columns))

    def finish(self, seconds: float = 5.0) -> None:
        assert self.exporter is not None
        self.session.detach()
        self.exporter.finish(seconds)
        self.exporter.stop()
        self.exporter = None


@pytest.fixture
def exporting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporting]:
    monkeypatch.setattr("jcollect.otlp.exporter._TICK_SECONDS", 0.05)
    target = CountingTarget(tmp_path)
    target.open_histograms()
    sources: list[ListSource] = []

    def open_source(capacity: int, offset: int) -> ListSource:
        sources.append(ListSource(capacity, offset))
        return sources[0]

    session = Session(SessionSettings(capacity=64), open_sources=[open_source])
    session.start()
    session.join(target.scan(), lambda probe: True, "com.acme.Shop").attach()
    found = Exporting(target, session, sources[0])
    try:
        yield found
        session.failures.check()
    finally:
        session.detach()
        if found.exporter is not None:
            found.exporter.stop()
        found.readings.close()
        session.close()
        target.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


def settings_for(receiver: Receiver, spans: SpanSelection | None = None, **more: Any) -> OtlpSettings:
    return OtlpSettings(parse_endpoint(receiver.endpoint, False), interval=0.1, spans=spans, **more)


def test_metrics_are_exponential_histograms_and_sums_by_process(
    exporting: Exporting, receiver: Receiver
) -> None:
    # Counting begins when the exporter has seen the probes.
    exporting.begin(settings_for(receiver))
    wait_until(lambda: receiver.metrics, "an export")
    exporting.target.call(PLACE, 100, calls=7)
    exporting.target.call(PLACE, 0)
    exporting.finish()
    (found,) = (
        (resource, point)
        for resource, metric in receiver.latest()
        if metric.name == "jprobe.call_duration_nanoseconds"
        for point in metric.exponential_histogram.data_points
        if attributes(point).get("method") == "place"
    )
    resource, point = found
    about = attributes(resource)
    assert (about["service.name"], about["process.pid"]) == ("com.acme.Shop", os.getpid())
    assert attributes(point) == {
        "class": "com.acme.Orders", "method": "place", "descriptor": "(J)V", "outcome": "return",
    }  # fmt: skip
    histogram = ExponentialHistogram.of(
        np.array(point.positive.bucket_counts, np.uint64),
        point.positive.offset,
        point.zero_count,
        int(point.sum),
        point.scale,
    )
    assert histogram == histogram_of([100] * 7 + [0])
    assert point.count == 8
    assert point.start_time_unix_nano < point.time_unix_nano
    own = {
        metric.name: metric
        for resource, metric in receiver.latest()
        if "service.version" in attributes(resource)
    }
    hits = own["jprobe.hits"].sum
    assert hits.is_monotonic
    assert hits.aggregation_temporality == 2
    assert {attributes(point)["account"] for point in hits.data_points} >= {"delivered", "lost", "counted"}
    assert own["process.cpu_seconds"].sum.data_points[0].as_double > 0


def test_large_exports_are_several_requests(exporting: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = exporting.readings.read()
    many = Family("m", "histogram", "x", "ns")
    spread = histogram_of([2**i for i in range(60)])
    many.samples.extend(Sample((("pid", str(i % 3 + 1)), ("method", str(i))), spread) for i in range(3000))
    monkeypatch.setattr(metric_messages, "families_of", lambda _: [many])
    requests = metric_requests(reading)
    assert len(requests) >= 3
    assert all(each.ByteSize() < 1.2 * MOST_REQUEST_BYTES for each in requests)
    assert sum(map(points_in, requests)) == 3000


def test_slow_calls_and_exceptions_are_spans(exporting: Exporting, receiver: Receiver) -> None:
    exporting.begin(settings_for(receiver, SpanSelection(5_000_000, exceptions=True)))
    exporting.fire("close", RETURN, [10, 5_000_000, 5_000_001, 9_000_000])
    exporting.fire("place", THROW, [10])
    exporting.finish()
    spans = [span for _, span in receiver.spans()]
    assert sorted(span.name for span in spans) == [
        "com.acme.Orders#close", "com.acme.Orders#close", "com.acme.Orders#place",
    ]  # fmt: skip
    durations = [span.end_time_unix_nano - span.start_time_unix_nano for span in spans]
    assert sorted(durations) == [10, 5_000_001, 9_000_000]
    assert abs(spans[0].end_time_unix_nano - time.time_ns()) < 60 * 10**9
    for span in spans:
        about = attributes(span)
        is_throw = span.name.endswith("place")
        assert (span.status.code == Status.STATUS_CODE_ERROR) == is_throw
        assert about["code.function.name"] == span.name.replace("#", ".")
        assert about.get("jprobe.return") == (None if is_throw else 42)
        assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    resource, _ = receiver.spans()[0]
    assert attributes(resource)["service.name"] == "com.acme.Shop"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_selected_calls_have_the_values_of_their_events() -> None:
    for seed in range(5):
        batches = Batches(seed)
        columns = batches.columns(200)
        calls = SlowCalls(SpanSelection(1_000_000, exceptions=True))
        calls.add(batches.probes)
        expected = [
            row
            for row in RowDecoder(batches.probes).rows(columns)
            if row.probe.kind == THROW or (row.probe.kind == RETURN and row.duration_nanos > 1_000_000)
        ]
        assert expected
        found = list(calls.calls(columns))
        assert [call.event for call in found] == [json.loads(json_line(row)) for row in expected]
        assert calls.count(columns) == len(expected)
        for call, row in zip(found, expected, strict=True):
            end = row.start_unix_nanos + row.duration_nanos if row.start_unix_nanos else row.time_unix_nanos
            assert (call.end_unix_nanos, call.duration_nanos) == (end, row.duration_nanos)
            assert span_of(call).SerializeToString()


def test_captured_ids_put_a_span_into_its_trace() -> None:
    batches = Batches(1)
    calls = SlowCalls(SpanSelection(0))
    calls.add(batches.probes)
    call = next(iter(calls.calls(batches.columns(100))))
    captures = {
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "sql": "select 1",
        "gone": {"absent": "null"},
        "n": 1 << 63,
    }
    span = span_of(replace(call, event={**call.event, "captures": captures}))
    assert span.trace_id.hex() == captures["trace_id"]
    about = attributes(span)
    assert (about["sql"], about["n"]) == ("select 1", str(1 << 63))
    assert not {"trace_id", "gone"} & about.keys()


def test_an_unavailable_receiver_gets_everything_later(
    exporting: Exporting, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.stop()
    exporting.begin(settings_for(receiver, SpanSelection(0)))
    exporting.fire("close", RETURN, [10] * 3)
    assert exporting.exporter is not None
    spans = exporting.exporter._deliveries[1]
    wait_until(lambda: spans.counts().failures, "a failure")
    later = Receiver(receiver.port)
    try:
        wait_until(lambda: len(later.spans()) == 3, "the spans", 20)
        wait_until(lambda: spans.counts().exported == 3, "the count")
        exporting.finish()
    finally:
        later.stop()
    lines = capfd.readouterr().err
    assert lines.count("cannot export spans to http://127.0.0.1") == 1
    assert lines.count("exporting spans to http://127.0.0.1") == 1
    assert "and 3 spans to http://127.0.0.1" in lines
    assert spans.counts().dropped == 0


def test_a_slow_receiver_costs_spans_and_nothing_waits(
    exporting: Exporting,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(span_exporter, "_MOST_IN_REQUEST", 10)
    monkeypatch.setattr("jcollect.otlp.exporter.MOST_QUEUED", 50)
    receiver.delay = 30.0
    exporting.begin(settings_for(receiver, SpanSelection(0)))
    for _ in range(30):
        exporting.fire("close", RETURN, [10] * 11)
    accounts = exporting.session.accounts
    wait_until(lambda: accounts.totals().delivered == 330, "the events")
    begun = time.monotonic()
    exporting.finish(1.0)
    assert time.monotonic() - begun < 10
    lines = capfd.readouterr().err
    assert "exported 0 metric sets and 0 spans" in lines
    assert "330 spans" in lines.partition("dropped ")[2]


def test_an_error_that_does_not_pass_costs_the_request(
    exporting: Exporting, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    exporting.begin(replace(settings_for(receiver), interval=60.0))
    assert exporting.exporter is not None
    (metrics,) = exporting.exporter._deliveries
    wait_until(lambda: metrics.counts().exported == 1, "the first export")
    receiver.failures = [grpc.StatusCode.UNAUTHENTICATED]
    exporting.exporter._export_metrics()
    wait_until(lambda: metrics.counts().dropped == 1, "the drop")
    exporting.finish()
    assert metrics.counts()[1:] == (2, 1, 1)
    assert "UNAUTHENTICATED: as the test wants it; the metric sets are dropped" in capfd.readouterr().err


def test_passing_errors_are_repeated(exporting: Exporting, receiver: Receiver) -> None:
    receiver.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED]
    exporting.begin(replace(settings_for(receiver), interval=60.0))
    assert exporting.exporter is not None
    (metrics,) = exporting.exporter._deliveries
    wait_until(lambda: metrics.counts()[1:] == (1, 0, 2), "the export")
    exporting.finish()


def test_a_newer_set_of_metrics_replaces_one_that_waits(receiver: Receiver, exporting: Exporting) -> None:
    def send(request: object, seconds: float) -> tuple[int, str]:
        sent.append(request)
        time.sleep(0.2)
        return 0, ""

    sent: list[object] = []
    found = delivery.Delivery("set", "x", send, 1, exporting.session.failures, keeps_newest=True)
    for number in range(5):
        found.put([number], 1)
        time.sleep(0.01)
    wait_until(lambda: 4 in sent, "the newest")
    found.begin_end(2.0)
    found.wait()
    counts = found.counts()
    assert counts.exported + counts.dropped == 5
    assert len(sent) <= 3


def test_rejected_spans_are_counted_and_reported_once(
    exporting: Exporting, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.rejected = 2
    exporting.begin(settings_for(receiver, SpanSelection(0)))
    exporting.fire("close", RETURN, [10] * 5)
    exporting.finish()
    lines = capfd.readouterr().err
    assert "rejects 2 spans: too old\\x1b" in lines
    assert "and 3 spans to" in lines
    assert "dropped 2 spans" in lines


def test_counts_of_exports_are_metrics_too(exporting: Exporting, receiver: Receiver) -> None:
    from jcollect.metrics.families import families_of
    from jcollect.web.text_format import text_of

    exporting.begin(settings_for(receiver))
    wait_until(lambda: receiver.metrics, "an export")
    found = samples_of(text_of(families_of(exporting.readings.read())))
    assert ("jprobe_otlp_items_total", (("item", "metric_set"), ("result", "dropped"))) in found
    exporting.finish()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("is_trusted", [True, False])
def test_https_sends_headers_to_a_trusted_receiver_only(
    exporting: Exporting, certificate: Path, is_trusted: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    key, cert = ((certificate / name).read_bytes() for name in ("key.pem", "cert.pem"))
    receiver = Receiver(credentials=grpc.ssl_server_credentials([(key, cert)]))
    try:
        settings = OtlpSettings(
            parse_endpoint(f"https://localhost:{receiver.port}", False),
            (("authorization", "Bearer s3cret"),),
            0.1,
            certificates=cert if is_trusted else None,
        )
        exporting.begin(settings)
        if is_trusted:
            wait_until(lambda: receiver.metrics, "an export")
            assert receiver.metadata[0]["authorization"] == "Bearer s3cret"
        else:
            assert exporting.exporter is not None
            (metrics,) = exporting.exporter._deliveries
            wait_until(lambda: metrics.counts().failures, "a failure")
            assert not receiver.requests
        exporting.finish(1.0)
        assert ("cannot export" in capfd.readouterr().err) != is_trusted
    finally:
        receiver.stop()

"""Exports a session's metrics at intervals, and its slow calls as spans, to an OTLP endpoint over gRPC."""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

import jcollect
from jcollect.console import plural, status
from jcollect.last_resort import last_resort
from jcollect.metrics.readings import Readings
from jcollect.otlp.delivery import Delivery
from jcollect.otlp.metric_messages import metric_requests
from jcollect.otlp.settings import OtlpSettings
from jcollect.otlp.span_exporter import MOST_QUEUED, SpanExporter
from jcollect.rpc.limits import BusyError, Turns
from jcollect.session.session import Session
from jcollect.workers import Worker

# Interval at which spans that do not fill a request are sent.
_TICK_SECONDS = 1.0
_MOST_RECONNECT_MILLIS = 5000
_STOP_SECONDS = 5.0
# Of the time for the last exports, the share in which events become spans.
_SPAN_SHARE = 0.4


class OtlpExporter:
    """Exports from construction until `finish`."""

    def __init__(self, session: Session, readings: Readings, turns: Turns, settings: OtlpSettings) -> None:
        """Raises JcollectError if no thread can be started."""
        self._readings = readings
        self._turns = turns
        self._settings = settings
        self._channel = _open_channel(settings)
        where, failures = settings.endpoint.text, session.failures
        self._has_ended = threading.Event()
        self._is_over = False
        self._spans: SpanExporter | None = None
        try:
            metrics: Any = MetricsServiceStub(self._channel)  # type: ignore[no-untyped-call]
            self._metric_delivery = Delivery(
                "metric set",
                where,
                lambda request, seconds: self._send_metrics(metrics, request, seconds),
                1,
                failures,
                keeps_newest=True,
            )
            self._deliveries = [self._metric_delivery]
            if settings.spans is not None:
                traces: Any = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
                delivery = Delivery(
                    "span",
                    where,
                    lambda request, seconds: self._send_spans(traces, request, seconds),
                    MOST_QUEUED,
                    failures,
                )
                self._deliveries.append(delivery)
                self._spans = SpanExporter(session, settings.spans, delivery, session.name_of)
            readings.show(lambda: [each.counts() for each in self._deliveries])
            self._worker = Worker("export metrics", self._run, failures).start()
        except BaseException:
            self._channel.close()
            raise

    def finish(self, seconds: float) -> None:
        """Exports what there is, within `seconds`, after the session has detached; reports what was
        dropped."""
        if self._is_over:
            return
        self._is_over = True
        end = time.monotonic() + seconds
        self._has_ended.set()
        if self._spans is not None:
            self._spans.finish(_SPAN_SHARE * seconds)
        self._worker.join(max(0.0, end - time.monotonic()))
        self._export_metrics(max(0.0, end - time.monotonic()))
        for each in self._deliveries:
            each.begin_end(max(0.0, end - time.monotonic()))
        for each in self._deliveries:
            each.wait()
        counts = [each.counts() for each in self._deliveries]
        exported = " and ".join(plural(each.exported, each.name) for each in counts)
        dropped = " and ".join(plural(each.dropped, each.name) for each in counts if each.dropped)
        status(f"exported {exported} to {self._settings.endpoint.text}; dropped {dropped or 'none'}")

    def stop(self) -> None:
        """Ends everything at once."""
        self._has_ended.set()
        for each in self._deliveries:
            each.begin_end(0.0)
        where = self._settings.endpoint.text
        stuck = f"the connection to {where} does not close; jcollect exits without closing it"
        with last_resort(_STOP_SECONDS, stuck):
            self._channel.close()

    def _run(self) -> None:
        due = time.monotonic() + min(self._settings.interval, _TICK_SECONDS)
        while not self._has_ended.wait(_TICK_SECONDS):
            if self._spans is not None:
                self._spans.flush()
            if time.monotonic() >= due:
                self._export_metrics()
                due = max(due + self._settings.interval, time.monotonic())

    def _export_metrics(self, seconds: float | None = None) -> None:
        try:
            with self._turns.without_client(seconds):
                requests = metric_requests(self._readings.read())
        except BusyError:
            self._metric_delivery.drop(1)
            return
        self._metric_delivery.put(requests, 1)

    def _send_metrics(self, stub: Any, request: Any, seconds: float) -> tuple[int, str]:
        answer = stub.Export(request, timeout=seconds, metadata=self._settings.headers)
        partial = answer.partial_success
        return int(partial.rejected_data_points > 0), partial.error_message

    def _send_spans(self, stub: Any, request: Any, seconds: float) -> tuple[int, str]:
        answer = stub.Export(request, timeout=seconds, metadata=self._settings.headers)
        return max(0, answer.partial_success.rejected_spans), answer.partial_success.error_message


def _open_channel(settings: OtlpSettings) -> grpc.Channel:
    endpoint = settings.endpoint
    options: list[tuple[str, Any]] = [
        ("grpc.primary_user_agent", f"jprobe/{jcollect.__version__}"),
        ("grpc.max_reconnect_backoff_ms", _MOST_RECONNECT_MILLIS),
    ]
    # Use a proxy (https_proxy) only for other machines.
    if endpoint.is_local:
        options.append(("grpc.enable_http_proxy", 0))
    if not endpoint.is_secure:
        return grpc.insecure_channel(endpoint.target, options=options)
    credentials = grpc.ssl_channel_credentials(root_certificates=settings.certificates)
    return grpc.secure_channel(endpoint.target, credentials, options=options)

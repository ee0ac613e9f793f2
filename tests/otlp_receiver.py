"""A receiver of OTLP: a real gRPC server with the generated servicers, which can fail or be slow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """Listens on a port of loopback until `stop`. `failures` are the codes with which the next requests fail,
    and `delay` is the time in s that each takes. `rejected` is the number of spans that each answer
    rejects."""

    def __init__(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.delay = 0.0
        self.rejected = 0
        self.requests = 0
        self.metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = []
        self.traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.metadata: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._server)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(f"localhost:{port}", credentials)
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._over.set()
        self._server.stop(0).wait()

    def admit(self, context: grpc.ServicerContext) -> None:
        """Fails or delays a request, as wanted."""
        with self._lock:
            self.requests += 1
            code = self.failures.pop(0) if self.failures else None
            self.metadata.append(dict(context.invocation_metadata()))
        self._over.wait(self.delay)
        if code is not None:
            context.abort(code, "as the test wants it")

    def spans(self) -> list[tuple[Resource, Span]]:
        return [
            (part.resource, span)
            for request in list(self.traces)
            for part in request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        ]

    def latest(self) -> Iterator[tuple[Resource, Metric]]:
        """Yields the metrics of the last request."""
        for part in self.metrics[-1].resource_metrics:
            for scope in part.scope_metrics:
                yield from ((part.resource, metric) for metric in scope.metrics)


def attributes(found: Any) -> dict[str, Any]:
    """Returns the attributes of a message."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in found.attributes}


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._receiver.admit(context)
        self._receiver.metrics.append(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._receiver.admit(context)
        self._receiver.traces.append(request)
        answer = trace_service_pb2.ExportTraceServiceResponse()
        if self._receiver.rejected:
            answer.partial_success.rejected_spans = self._receiver.rejected
            answer.partial_success.error_message = "too old\x1b"
        return answer

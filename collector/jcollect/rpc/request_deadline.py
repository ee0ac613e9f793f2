"""Ends calls whose request does not arrive. Each holds a thread, and gRPC would wait until the client
disconnects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

# A request has a few hundred bytes, so a live client needs no more time for it.
_REQUEST_SECONDS = 10.0


class RequestDeadline(grpc.ServerInterceptor):  # type: ignore[misc]
    """Watches calls that have a single request; ignores calls that stream requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Time (time.monotonic()) from which a call is overdue, by its context.
        self._waiting: dict[Any, float] = {}

    def end_overdue(self) -> None:
        """Ends overdue calls. Must be called regularly."""
        now = time.monotonic()
        with self._lock:
            overdue = [context for context, deadline in self._waiting.items() if now > deadline]
        for context in overdue:
            context.cancel()

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:

            def stream(requests: Iterator[Any], context: Any) -> Iterator[Any]:
                yield from handler.unary_stream(self._request(requests, context), context)

            return grpc.stream_stream_rpc_method_handler(stream, **serializers)

        def answer(requests: Iterator[Any], context: Any) -> Any:
            return handler.unary_unary(self._request(requests, context), context)

        return grpc.stream_unary_rpc_method_handler(answer, **serializers)

    def _request(self, requests: Iterator[Any], context: Any) -> Any:
        with self._lock:
            self._waiting[context] = time.monotonic() + _REQUEST_SECONDS
        try:
            request = next(requests, None)
        finally:
            with self._lock:
                del self._waiting[context]
        if request is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no request")
        return request

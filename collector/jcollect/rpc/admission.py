"""Admits calls by the rights of their clients, before anything else sees them.

A method that is not listed here needs the right to command, so that a new one is never open by mistake.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from jcollect.printable import printable
from jcollect.rpc import audit
from jcollect.rpc.audit import Audit
from jcollect.rpc.callers import Callers, Shown, UnknownCallerError, shown_in
from jcollect.rpc.names import (
    AGGREGATE,
    END_AGGREGATE,
    GET_STATUS,
    LIST_PROBES,
    LIST_PROCESSES,
    SET_PROBES,
    SUBSCRIBE,
)
from jcollect.rpc.permitted import permit, visible
from jcollect.rpc.rights import COMMAND, VIEW, Caller
from jprobe.v1 import collector_pb2

# Any health checker may ask whether the collector serves.
_OPEN = {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
_NEEDED = {
    LIST_PROBES: VIEW,
    SUBSCRIBE: VIEW,
    AGGREGATE: VIEW,
    END_AGGREGATE: VIEW,
    GET_STATUS: VIEW,
    LIST_PROCESSES: VIEW,
    SET_PROBES: COMMAND,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": VIEW,
}
_UNEXECUTED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_MOST_ARGUMENTS = 1_000


@dataclass(frozen=True)
class _Stream:
    shown: Shown
    caller: Caller


class Admission(grpc.ServerInterceptor):  # type: ignore[misc]
    """Ends calls of clients without the right, and streams of clients that have lost one."""

    def __init__(self, callers: Callers, log: Audit) -> None:
        self._callers = callers
        self._audit = log
        self._lock = threading.Lock()
        self._streams: dict[Any, _Stream] = {}
        self._version = callers.version

    def end_withdrawn(self) -> None:
        """Ends streams whose clients have lost a right since they began. Must be called regularly."""
        version = self._callers.version
        if version is self._version:
            return
        self._version = version
        with self._lock:
            streams = list(self._streams.items())
        for context, stream in streams:
            if not self._still_has_rights(stream):
                context.cancel()

    def _still_has_rights(self, stream: _Stream) -> bool:
        try:
            return self._callers.caller(stream.shown).rights >= stream.caller.rights
        except UnknownCallerError:
            return False

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or details.method in _OPEN:
            return handler
        method = details.method
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            run = handler.stream_stream if handler.request_streaming else handler.unary_stream

            def stream(request: Any, context: Any) -> Iterator[Any]:
                caller, shown = self._admit(method, request, context)
                with self._open(method, request, context, _Stream(shown, caller)):
                    messages = run(request, context)
                    if method == SUBSCRIBE:
                        messages = (visible(message, caller) for message in messages)
                    yield from messages

            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            return getattr(grpc, f"{kind}_rpc_method_handler")(stream, **serializers)
        answer = handler.stream_unary if handler.request_streaming else handler.unary_unary

        def one(request: Any, context: Any) -> Any:
            caller, _ = self._admit(method, request, context)
            if _NEEDED.get(method) != COMMAND:
                return answer(request, context)
            return self._logged(method, request, context, caller, answer)

        kind = "stream_unary" if handler.request_streaming else "unary_unary"
        return getattr(grpc, f"{kind}_rpc_method_handler")(one, **serializers)

    def _admit(self, method: str, request: Any, context: Any) -> tuple[Caller, Shown]:
        """Returns the client; ends the call if it lacks the right. Restricts the request to its rights."""
        shown = shown_in(context)
        try:
            caller = self._callers.caller(shown)
        except UnknownCallerError as error:
            self._reject(grpc.StatusCode.UNAUTHENTICATED, "unknown", method, request, context, str(error))
        needed = _NEEDED.get(method, COMMAND)
        problem = "" if caller.has(needed) else f"the call needs the right '{needed}'"
        if not problem and isinstance(request, collector_pb2.SubscribeRequest):
            problem = permit(request, caller)
        if problem:
            has = ", ".join(sorted(caller.rights)) or "none"
            self._reject(
                grpc.StatusCode.PERMISSION_DENIED,
                caller.name,
                method,
                request,
                context,
                f"{problem}; the caller counts as {caller.name}, with the rights: {has}",
            )
        return caller, shown

    def _reject(
        self, code: grpc.StatusCode, client: str, method: str, request: Any, context: Any, reason: str
    ) -> None:
        self._record(audit.REJECTED, client, method, request, context, f"{code.name}: {reason}")
        context.abort(code, reason)

    @contextlib.contextmanager
    def _open(self, method: str, request: Any, context: Any, stream: _Stream) -> Iterator[None]:
        client = stream.caller.name
        self._record(audit.BEGIN, client, method, request, context, "ok")
        begun = time.monotonic()
        with self._lock:
            self._streams[context] = stream
        try:
            # The rights may have changed after the call was admitted, and end_withdrawn may have run before
            # the stream was registered.
            if not self._still_has_rights(stream):
                context.abort(
                    grpc.StatusCode.PERMISSION_DENIED, "the caller's rights have changed since; call again"
                )
            yield
        finally:
            with self._lock:
                del self._streams[context]
            seconds = time.monotonic() - begun
            self._record(
                audit.END, client, method, request, context, f"after {seconds:.3f} s{_end_of(context)}"
            )

    def _logged(
        self, method: str, request: Any, context: Any, caller: Caller, answer: Callable[[Any, Any], Any]
    ) -> Any:
        result = "failed"
        try:
            response = answer(request, context)
            result = "ok"
            return response
        finally:
            # Those that reach no agent cost a client nothing, so that their lines are limited.
            kind = audit.REJECTED if _code_of(context) in _UNEXECUTED else audit.COMMAND
            self._record(kind, caller.name, method, request, context, f"{result}{_end_of(context)}")

    def _record(self, kind: str, client: str, method: str, request: Any, context: Any, result: str) -> None:
        self._audit.record(
            kind, client, context.peer(), method.rpartition("/")[2], _arguments(request), result
        )


def _arguments(request: Any) -> str:
    """Returns the fields of a request on one line, shortened. A stream of requests has none."""
    if not hasattr(request, "DESCRIPTOR"):
        return ""
    fields = []
    for field, value in request.ListFields():
        # A request has at most 256 KiB: only the beginning is of use here.
        fields.append(f"{field.name}: {' '.join(str(value)[:_MOST_ARGUMENTS].split())}")
    return printable(", ".join(fields)[:_MOST_ARGUMENTS])


def _code_of(context: Any) -> grpc.StatusCode | None:
    """Returns the code that a handler has ended its call with; None if it has set none."""
    code: grpc.StatusCode | None = context.code()
    return code


def _end_of(context: Any) -> str:
    """Returns the error that a handler has ended its call with; empty if none."""
    code = _code_of(context)
    if code is None or code is grpc.StatusCode.OK:
        return "" if context.is_active() else ", cancelled"
    details = context.details()
    text = details.decode("utf-8", "replace") if isinstance(details, bytes) else str(details or "")
    return f", {getattr(code, 'name', code)}: {text}"

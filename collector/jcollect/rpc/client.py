"""A client of a collector: lists probes, gets the status, and subscribes to events."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.last_resort import last_resort, report_aborts
from jcollect.limits import MAX_COLLECTOR_PROBES
from jcollect.procfs.process import Process
from jcollect.rpc.address import Address
from jcollect.rpc.client_access import NO_ACCESS, ClientAccess
from jcollect.rpc.elements import parse
from jcollect.rpc.keepalive import OPTIONS
from jcollect.rpc.names import GET_STATUS, LIST_PROBES, SERVICE
from jcollect.workers import check_can_open, check_can_start
from jprobe.v1 import collector_pb2

# Maximum time to answer.
ANSWER_SECONDS = 5.0
# After this time gRPC itself is stuck.
_STUCK_SECONDS = 15.0
# A batch has at most 1 MiB. A description has about 500 bytes, so 250,000 of them fit.
_MOST_MESSAGE_BYTES = 128 << 20
_OPTIONS = [("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES), *OPTIONS]
# The threads that gRPC starts (see rpc/server.py), without those of a server.
_THREADS = min(max(os.cpu_count() or 1, 4), 16) + 5
_FILES = 16
# Parts of gRPC's messages about a peer that has not acknowledged a ping.
_DEAD = ("ping timeout", "keepalive timeout", "keepalive watchdog timeout")
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_UCRED = struct.Struct("iII")


class SilentError(JcollectError):
    """A collector exists but does not answer."""


class RejectedError(SilentError):
    """A collector answers, and this client may not ask."""


class Client:
    """A connection to one collector; a context manager that closes it."""

    def __init__(self, address: Address, access: ClientAccess = NO_ACCESS) -> None:
        """Raises JcollectError if gRPC would hang for lack of threads, or the address would reveal the
        token."""
        self._address = address
        self._access = access
        self._check_can_start()
        with self._unless_stuck():
            self.channel = self._open_channel()

    # Options of gRPC besides those of all clients.
    _channel_options: Sequence[tuple[str, Any]] = ()

    def _open_channel(self, library: Any = grpc) -> Any:
        """Returns a channel to the collector. The library is grpc or grpc.aio."""
        # Use a proxy (http_proxy, https_proxy, grpc_proxy) only for other machines.
        proxy = [("grpc.enable_http_proxy", 0)] if self._address.is_on_this_machine() else []
        return self._access.channel(self._address, [*_OPTIONS, *proxy, *self._channel_options], library)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._unless_stuck():
            self.channel.close()

    def _check_can_start(self) -> None:
        """Raises JcollectError if gRPC cannot get its threads or files."""
        _check_can_start_grpc()

    def _unless_stuck(self, seconds: float = 0.0) -> Any:
        stuck = f"cannot ask the collector at {self._address.text}: gRPC is stuck"
        return last_resort(_STUCK_SECONDS + seconds, stuck)

    def list_probes(self, globs: Sequence[str] = (), pids: Sequence[int] = ()) -> list[collector_pb2.Probe]:
        """Returns the matching probes, ordered by ID. Raises JcollectError."""
        request = collector_pb2.ListProbesRequest(globs=globs, pids=pids)
        first: collector_pb2.ListProbesResponse = self._ask(
            LIST_PROBES, request, collector_pb2.ListProbesResponse, ANSWER_SECONDS
        )
        found = list(first.probes)
        for page in self._later_pages(LIST_PROBES, request, first, ANSWER_SECONDS):
            found += page.probes
        return found

    def status(
        self,
        globs: Sequence[str] = (),
        pids: Sequence[int] = (),
        summary_only: bool = False,
        seconds: float = ANSWER_SECONDS,
    ) -> collector_pb2.GetStatusResponse:
        """Returns the status with all pages, each within `seconds`. Raises JcollectError."""
        return self.begin_status(globs, pids, summary_only, seconds)()

    def begin_status(
        self,
        globs: Sequence[str] = (),
        pids: Sequence[int] = (),
        summary_only: bool = False,
        seconds: float = ANSWER_SECONDS,
        top: int = 0,
    ) -> Callable[[], collector_pb2.GetStatusResponse]:
        """Sends the request; the returned function waits for the answer. With `top`, a collector that knows
        this field sends only that number of probes, those with the most hits."""
        request = collector_pb2.GetStatusRequest(globs=globs, pids=pids, summary_only=summary_only, top=top)
        first = self._begin(GET_STATUS, request, collector_pb2.GetStatusResponse, seconds)

        def result() -> collector_pb2.GetStatusResponse:
            status: collector_pb2.GetStatusResponse = first()
            for page in self._later_pages(GET_STATUS, request, status, seconds):
                status.probes.extend(page.probes)
            status.ClearField("next_page_token")
            return status

        return result

    def _later_pages(self, method: str, request: Any, page: Any, seconds: float) -> Iterator[Any]:
        """Yields the pages of an answer after the first one, each received within `seconds`. Raises
        JcollectError, and MalformedStreamError if the pages would never end."""
        probes = len(page.probes)
        while page.next_page_token:
            if page.next_page_token == request.page_token or not page.probes:
                raise MalformedStreamError("its pages do not end")
            request.page_token = page.next_page_token
            page = self._ask(method, request, type(page), seconds)
            probes += len(page.probes)
            if probes > MAX_COLLECTOR_PROBES:
                raise MalformedStreamError(f"its answer has more than {MAX_COLLECTOR_PROBES:,} probes")
            yield page

    def _ask(self, method: str, request: Message, answer: type[Message], seconds: float) -> Any:
        return self._begin(method, request, answer, seconds)()

    def _begin(
        self, method: str, request: Message, answer: type[Message], seconds: float
    ) -> Callable[[], Any]:
        call = self.channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
        )
        with self._unless_stuck():
            future = call.future(request, timeout=seconds, metadata=self._access.metadata)

        def result() -> Any:
            try:
                with self._unless_stuck(seconds):
                    content = future.result()
                return parse(answer, content)
            except grpc.RpcError as error:
                raise self.explain(error, False, seconds) from None
            except DecodeError as error:
                raise MalformedStreamError(f"its answer cannot be decoded: {error}") from None

        return result

    def check_answers(self) -> None:
        """Raises JcollectError if no process listens at the address, or a collector does not answer."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            with self._unless_stuck(ANSWER_SECONDS):
                health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise self.explain(error, False, ANSWER_SECONDS) from None
            # It has answered; its health does not matter.

    def explain(self, error: Any, begun: bool, seconds: float) -> JcollectError:
        """Returns what a gRPC error means. `begun` is true if the stream had begun; `seconds` is the deadline
        of the call."""
        code, where, details = error.code(), self._address.text, error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return SilentError(f"{self._name()} has not answered within {seconds:g} s: {self._why_silent()}")
        if code == grpc.StatusCode.UNAVAILABLE and any(reason in details for reason in _DEAD):
            return SilentError(f"{self._name()} does not answer any more: {self._why_silent()}")
        if code == grpc.StatusCode.UNAVAILABLE and begun:
            return JcollectError(f"the collector at {where} disconnected before the end of the stream")
        if code == grpc.StatusCode.UNAVAILABLE:
            failure = _connect_error(self._address)
            if isinstance(failure, BlockingIOError):
                return SilentError(f"the collector at {where} accepts no connections; it may be stopped")
            if isinstance(failure, PermissionError):
                return SilentError(
                    f"cannot connect to the collector at {where}: {failure.strerror}; use sudo"
                )
            return self._unreachable()
        if code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
            return RejectedError(
                f"the collector at {where} rejects the call: {details}; its access file gives rights"
            )
        if code == grpc.StatusCode.NOT_FOUND:
            return JcollectError(f"{details} at {where}; list them with jcollect probes PID")
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            return JcollectError(f"the collector at {where} rejects the request: {details}")
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return JcollectError(f"the server at {where} is not a jprobe collector")
        if begun:
            return JcollectError(f"the collector at {where} ended the stream: {code.name}: {details}")
        return SilentError(f"{self._name()} cannot answer: {code.name}: {details}")

    def _unreachable(self) -> JcollectError:
        """Returns why there is no connection."""
        address, where = self._address, self._address.text
        # One more attempt would not go through a proxy.
        if address.path is None and (address.is_on_this_machine() or not any(map(os.environ.get, _PROXIES))):
            from jcollect.rpc.tls_failure import speaks_tls, why_tls_failed

            if self._access.uses_tls(address):
                if why := why_tls_failed(address, self._access):
                    return JcollectError(f"cannot connect to the collector at {where}: {why}")
            elif speaks_tls(address):
                return JcollectError(
                    f"cannot connect to the collector at {where}: it uses TLS; add --tls-ca, --tls-cert and "
                    "--tls-key"
                )
        return JcollectError(f"no collector listens at {where}; start one with jcollect attach")

    def _name(self) -> str:
        pid = _pid_at(self._address)
        return f"the collector at {self._address.text}" + (f" (PID {pid})" if pid else "")

    def _why_silent(self) -> str:
        pid = _pid_at(self._address)
        if pid:
            with contextlib.suppress(JcollectError), Process.open(pid) as process:
                if process.is_stopped():
                    return f"it is stopped; resume it with kill -CONT {pid}"
        return "it may be stopped, or jcollect itself was stopped"


@functools.cache
def _check_can_start_grpc() -> None:
    check_can_start(_THREADS, "ask a collector")
    check_can_open(_FILES, "ask a collector")
    report_aborts()


def _connect_error(address: Address) -> OSError | None:
    """Returns the error of connecting to a Unix socket, which gRPC does not report; None if it succeeds."""
    if address.path is None:
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except OSError as error:
            return error
    return None


def _pid_at(address: Address) -> int:
    """Returns the PID that listens on a Unix socket of this machine; 0 if it cannot be determined."""
    if address.path is None:
        return 0
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            probe.connect(address.path)
            content = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return 0
    return int(_UCRED.unpack(content)[0])

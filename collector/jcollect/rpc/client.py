"""A client of a collector: the schema, then raw messages for whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message

from jcollect.errors import JcollectError
from jcollect.rpc.address import Address
from jcollect.rpc.service import GET_STATUS, LIST_PROBES, SUBSCRIBE
from jprobe.v1 import collector_pb2

# A batch takes about 1 MiB at most; a schema of thousands of probes takes more than gRPC's default of 4.
_OPTIONS = [("grpc.max_receive_message_length", 256 << 20)]


class Client:
    """A connection to one collector; a context manager."""

    def __init__(self, address: Address) -> None:
        self._address = address
        # A proxy (http_proxy, https_proxy, grpc_proxy) is for the way to other machines.
        proxy = [("grpc.enable_http_proxy", 0)] if address.leads_here() else []
        self._channel = grpc.insecure_channel(address.target, options=[*_OPTIONS, *proxy])

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def list_probes(self, globs: Sequence[str] = (), pids: Sequence[int] = ()) -> list[collector_pb2.Probe]:
        """Raises JcollectError."""
        request = collector_pb2.ListProbesRequest(globs=globs, pids=pids)
        response: collector_pb2.ListProbesResponse = self._ask(
            LIST_PROBES, request, collector_pb2.ListProbesResponse, None
        )
        return list(response.probes)

    def status(
        self,
        globs: Sequence[str] = (),
        pids: Sequence[int] = (),
        summary_only: bool = False,
        seconds: float | None = None,
    ) -> collector_pb2.GetStatusResponse:
        """Within so many seconds. Raises JcollectError."""
        request = collector_pb2.GetStatusRequest(globs=globs, pids=pids, summary_only=summary_only)
        response: collector_pb2.GetStatusResponse = self._ask(
            GET_STATUS, request, collector_pb2.GetStatusResponse, seconds
        )
        return response

    def _ask(self, method: str, request: Message, answer: type[Message], seconds: float | None) -> Any:
        call = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=seconds)
        except grpc.RpcError as error:
            raise self._explain(error, begun=False) from None

    def subscribe(
        self, globs: Sequence[str] = (), seconds: float | None = None, pids: Sequence[int] = ()
    ) -> Iterator[bytes]:
        """Encoded SubscribeResponses, the schema first, until the collector ends or `seconds` are over.

        Raises JcollectError where nobody listens, nothing matches, or the collector goes away.
        """
        call: Any = self._channel.unary_stream(
            SUBSCRIBE, request_serializer=collector_pb2.SubscribeRequest.SerializeToString
        )
        stream = call(collector_pb2.SubscribeRequest(globs=globs, pids=pids), timeout=seconds)
        begun = False
        try:
            for message in stream:
                begun = True
                yield message
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and begun:
                return
            raise self._explain(error, begun) from None
        finally:
            stream.cancel()

    def _explain(self, error: Any, begun: bool) -> JcollectError:
        code, where = error.code(), self._address.text
        if code == grpc.StatusCode.UNAVAILABLE and begun:
            return JcollectError(f"the collector at {where} went away in mid-stream")
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return JcollectError(f"nobody listens at {where}; start a collector there with jcollect attach")
        if code == grpc.StatusCode.NOT_FOUND:
            return JcollectError(f"{error.details()} at {where}; list them with jcollect probes PID")
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return JcollectError(f"what listens at {where} is not a jprobe collector")
        return JcollectError(f"the collector at {where} ended the stream: {code.name}: {error.details()}")

"""The gRPC server: its service, health and reflection. Where it listens is claimed in claim.py."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from jcollect.rpc.claim import Claim
from jcollect.rpc.limits import (
    MOST_CALLS,
    MOST_REFLECTIONS,
    Slots,
    raise_descriptor_limit,
    server_options,
)
from jcollect.rpc.pool import Pool, Refusing
from jcollect.rpc.prompt import Prompt
from jcollect.rpc.service import SERVICE, Served, Streams, handler_for
from jcollect.rpc.stalled import StalledClients
from jcollect.workers import check_can_open, check_can_start

# For clients to read the end of their streams. gRPC clients that send something, be it that they have
# read so far, to a server that is gone, forget what they have not read.
_LINGER_SECONDS = 0.25
# For all other calls; streams have had their time.
_GRACE_SECONDS = 0.2
# After that, a client that takes nothing keeps the server from stopping.
_STOP_SECONDS = 1.0
# What gRPC starts at once (event engine: as many as CPUs, 4 to 16; its lifeguard, timers, serving thread),
# and what is started here besides: for the ring, stdout, memory of processes, and the first calls.
_THREADS = min(max(os.cpu_count() or 1, 4), 16) + 9
_FILES = 24
# Holds the servers that have not stopped, for instance after a failed start: freeing one waits without limit.
_servers: set[grpc.Server] = set()
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Server:
    """Serves from construction on, until `stop`."""

    def __init__(self, source: Served, claim: Claim) -> None:
        """Raises JcollectError where the address that was claimed cannot be listened at after all."""
        self._claim = claim
        # What goes wrong in a call is told by service.py, and not by a traceback.
        logging.getLogger("grpc").addHandler(logging.NullHandler())
        logging.getLogger("grpc").propagate = False
        pool = Pool(source.failures)
        self._prompt = Prompt()
        self._server = grpc.server(
            pool,
            interceptors=[Refusing(pool), self._prompt],
            maximum_concurrent_rpcs=MOST_CALLS,
            options=server_options(),
        )
        _servers.add(self._server)
        self._streams = Streams()
        self._server.add_generic_rpc_handlers((handler_for(source, self._streams),))
        health_pb2_grpc.add_HealthServicer_to_server(_Health(), self._server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(), self._server)
        self.address = claim.listen(self._server)
        self._stalled = None if self.address.path is None else StalledClients()
        self._server.start()

    def hang_up_on_stalled(self) -> None:
        """Ends the connections of clients that read nothing at all, and the calls of those that do not send
        their request. Must be called now and then."""
        self._prompt.end_overdue()
        if self._stalled is not None:
            self._stalled.hang_up()

    def wait_for_streams(self, seconds: float) -> None:
        """Until all streams have ended, so many seconds at most."""
        self._streams.wait_for_end(seconds)

    def stop(self) -> None:
        """Ends all calls, and removes the socket."""
        last_end = self._streams.wait_for_end(0.0)
        time.sleep(max(0.0, last_end + _LINGER_SECONDS - time.monotonic()))
        # It starts a thread, and may not be able to.
        with contextlib.suppress(RuntimeError):
            if self._server.stop(_GRACE_SECONDS).wait(_STOP_SECONDS):
                _servers.discard(self._server)
        self._claim.release()


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Reports SERVING for as long as the server runs. Watch is UNIMPLEMENTED: there is nothing to wait for,
    and clients then treat the service as healthy."""

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in ("", SERVICE):
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class _Reflection(reflection.ReflectionServicer):  # type: ignore[misc]
    """Allows few streams, because each holds a thread for as long as its client likes."""

    def __init__(self) -> None:
        super().__init__((SERVICE, _HEALTH, reflection.SERVICE_NAME))
        self._slots = Slots(MOST_REFLECTIONS, "reflections")

    def ServerReflectionInfo(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        with self._slots.one(context):
            yield from super().ServerReflectionInfo(request_iterator, context)


def check_can_serve() -> None:
    """Raises JcollectError where gRPC would hang for want of threads, or have no file to go on with."""
    raise_descriptor_limit()
    check_can_start(_THREADS, "serve events")
    check_can_open(_FILES, "serve events")

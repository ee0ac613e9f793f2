"""The gRPC server: its service, health and reflection. It listens at an address claimed in listening.py."""

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

from jcollect.rpc.access_file import AccessRules
from jcollect.rpc.admission import Admission
from jcollect.rpc.audit import Audit
from jcollect.rpc.call_pool import CallPool, RejectingInterceptor
from jcollect.rpc.callers import Callers
from jcollect.rpc.limits import (
    MOST_CALLS,
    MOST_REFLECTIONS,
    Slots,
    Turns,
    raise_descriptor_limit,
    server_options,
)
from jcollect.rpc.listening import Claim
from jcollect.rpc.names import SERVICE
from jcollect.rpc.reloaded import Reloaded
from jcollect.rpc.request_deadline import RequestDeadline
from jcollect.rpc.service import ServedSession, Streams, handler_for
from jcollect.rpc.stalled import StalledClients
from jcollect.workers import check_can_map, check_can_open, check_can_start

# Time for clients to read the end of their streams. A gRPC client that sends anything, such as a window
# update, to a server that has exited drops the data that it has not read yet.
_LINGER_SECONDS = 0.25
# Time for all other calls; streams have had theirs.
_GRACE_SECONDS = 0.2
# After this time, a client that reads nothing prevents the server from stopping.
_STOP_SECONDS = 1.0
# The threads that gRPC starts (event engine: one per CPU, 4 to 16; its lifeguard, timers, serving thread),
# and those of jcollect: for the ring buffer, stdout, memory of processes, and the first calls.
_THREADS = min(max(os.cpu_count() or 1, 4), 16) + 9
# Address space for the stacks of these threads, and for what they and jcollect map later.
_LEAST_BYTES = (_THREADS * 8 << 20) + (320 << 20)
# With two less, gRPC aborts. The rest is for the probes.
_FILES = 32
# References to servers that have not stopped, for instance after a failed start: freeing one waits forever.
_servers: set[grpc.Server] = set()
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Server:
    """Serves from construction until `stop`."""

    def __init__(
        self,
        source: ServedSession,
        claim: Claim,
        rules: Reloaded[AccessRules] | None = None,
        audit: Audit | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Without `rules`, the way in which clients connect decides about their rights. `turns` are those
        that calls share with others. Raises JcollectError if the server cannot listen at the claimed
        address."""
        self._claim = claim
        # service.py reports errors of calls; gRPC would log a traceback.
        logging.getLogger("grpc").addHandler(logging.NullHandler())
        logging.getLogger("grpc").propagate = False
        pool = CallPool(source.failures)
        self._request_deadline = RequestDeadline()
        self._admission = Admission(Callers(claim.door, rules), audit or Audit())
        self._server = grpc.server(
            pool,
            # The last one is next to the service, and sees its requests.
            interceptors=[RejectingInterceptor(pool), self._request_deadline, self._admission],
            maximum_concurrent_rpcs=MOST_CALLS,
            options=server_options(),
        )
        _servers.add(self._server)
        self._streams = Streams()
        self._server.add_generic_rpc_handlers((handler_for(source, self._streams, turns),))
        health_pb2_grpc.add_HealthServicer_to_server(_Health(), self._server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(), self._server)
        self.address = claim.listen(self._server)
        self._stalled = None if self.address.path is None else StalledClients()
        self._server.start()

    def disconnect_stalled(self) -> None:
        """Disconnects clients that read nothing at all, and ends calls whose request does not arrive and
        streams of clients that have lost their rights. Must be called regularly."""
        self._admission.end_withdrawn()
        self._request_deadline.end_overdue()
        if self._stalled is not None:
            self._stalled.disconnect()

    def wait_for_streams(self, seconds: float) -> None:
        """Waits at most `seconds` for all streams to end."""
        self._streams.wait_for_end(seconds)

    def stop(self) -> None:
        """Ends all calls, and removes the socket."""
        last_end = self._streams.wait_for_end(0.0)
        time.sleep(max(0.0, last_end + _LINGER_SECONDS - time.monotonic()))
        # It starts a thread, which can fail.
        with contextlib.suppress(RuntimeError):
            if self._server.stop(_GRACE_SECONDS).wait(_STOP_SECONDS):
                _servers.discard(self._server)
        self._claim.release()


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Reports SERVING while the server runs. Watch is UNIMPLEMENTED, because the state never changes; clients
    then treat the service as healthy."""

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in ("", SERVICE):
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class _Reflection(reflection.ReflectionServicer):  # type: ignore[misc]
    """Allows few streams, because each holds a thread until its client disconnects."""

    def __init__(self) -> None:
        super().__init__((SERVICE, _HEALTH, reflection.SERVICE_NAME))
        self._slots = Slots(MOST_REFLECTIONS, "reflections")

    def ServerReflectionInfo(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        with self._slots.one(context):
            yield from super().ServerReflectionInfo(request_iterator, context)


def check_can_serve() -> None:
    """Raises JcollectError if gRPC would hang for lack of threads, or lacks files."""
    raise_descriptor_limit()
    check_can_map(_LEAST_BYTES, "serve events")
    check_can_start(_THREADS, "serve events")
    check_can_open(_FILES, "serve events")

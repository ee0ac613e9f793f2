"""The gRPC server: its service, health and reflection. Where it listens is claimed in claim.py."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from jcollect.rpc.claim import Claim
from jcollect.rpc.service import SERVICE, Source, Streams, handler_for

# Each stream holds a thread of the pool; beyond that, calls are refused rather than left waiting.
_MOST_CALLS = 128
_STREAM_SECONDS = 3.0
# For clients to read the end of their streams. gRPC clients that send something, be it that they have
# read so far, to a server that is gone, forget what they have not read.
_LINGER_SECONDS = 0.25
# For all other calls; streams have had their time.
_GRACE_SECONDS = 0.2


class Server:
    """Serves from construction on, until `stop`."""

    def __init__(self, source: Source, claim: Claim) -> None:
        """Raises JcollectError where the address that was claimed cannot be listened at after all."""
        self._claim = claim
        self._server = grpc.server(
            ThreadPoolExecutor(_MOST_CALLS, thread_name_prefix="rpc"),
            maximum_concurrent_rpcs=_MOST_CALLS,
            # Else two collectors could share a port, each getting half of the calls.
            options=[("grpc.so_reuseport", 0)],
        )
        self._streams = Streams()
        self._server.add_generic_rpc_handlers((handler_for(source, self._streams),))
        servicer = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, self._server)
        for name in ("", SERVICE):
            servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.address = claim.listen(self._server)
        self._server.start()

    def stop(self) -> None:
        """Gives running streams a moment to end, ends all other calls, and removes the socket."""
        last_end = self._streams.wait_for_end(_STREAM_SECONDS)
        time.sleep(max(0.0, last_end + _LINGER_SECONDS - time.monotonic()))
        self._server.stop(_GRACE_SECONDS).wait()
        self._claim.release()

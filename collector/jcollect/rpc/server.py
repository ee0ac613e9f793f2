"""The gRPC server: where it listens, who may connect, health and reflection."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from jcollect.errors import JcollectError
from jcollect.rpc.address import RUN_DIRECTORY, Address
from jcollect.rpc.service import SERVICE, Source, Streams, handler_for
from jcollect.unix_sockets import is_dead

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

    def __init__(self, source: Source, address: Address, insecure: bool = False) -> None:
        """Raises JcollectError where the address is in use, or open to others without `insecure`."""
        self.address = address
        check_can_listen(address, insecure)
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
        self._listen()
        self._server.start()

    def _listen(self) -> None:
        if self.address.path is not None:
            # 0600 from the first moment on: a chmod afterwards would leave a gap.
            mask = os.umask(0o177)
            try:
                self._bind()
            finally:
                os.umask(mask)
        else:
            self._bind()

    def _bind(self) -> None:
        try:
            port = self._server.add_insecure_port(self.address.text)
        except RuntimeError:
            raise JcollectError(f"cannot listen at {self.address.text}") from None
        if self.address.path is None and self.address.port == 0:
            self.address = Address(
                f"{self.address.text.rpartition(':')[0]}:{port}", host=self.address.host, port=port
            )

    def stop(self) -> None:
        """Gives running streams a moment to end, ends all other calls, and removes the socket."""
        last_end = self._streams.wait_for_end(_STREAM_SECONDS)
        time.sleep(max(0.0, last_end + _LINGER_SECONDS - time.monotonic()))
        self._server.stop(_GRACE_SECONDS).wait()
        if self.address.path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address.path)


def check_can_listen(address: Address, insecure: bool) -> None:
    """Raises JcollectError where a server could not be, or should not be without `insecure`."""
    if not address.is_local and not insecure:
        raise JcollectError(
            f"{address.text} can be reached from other machines, and the stream is neither encrypted nor "
            "guarded by a password; listen on 127.0.0.1 or a Unix socket, or add --insecure"
        )
    if address.path is not None:
        _clear_the_way(address.path)
        _sweep()
    else:
        _check_port_is_free(address)


def _clear_the_way(path: str) -> None:
    """Makes the directory, for root alone, and removes the socket of a collector that was killed."""
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise JcollectError(
            f"cannot listen at unix://{path}: {directory}: {error.strerror}; "
            "choose another place with --listen"
        ) from None
    if not stat.S_ISSOCK(mode):
        raise JcollectError(f"cannot listen at unix://{path}: there is a file of that name, not a socket")
    try:
        if is_dead(path):
            os.unlink(path)
            return
    except OSError as error:
        raise JcollectError(f"cannot listen at unix://{path}: {error.strerror}") from None
    raise JcollectError(
        f"cannot listen at unix://{path}: the address is in use by another collector; "
        "subscribe to that one with jcollect observe, or choose another address with --listen"
    )


def _sweep() -> None:
    """Removes what killed collectors have left of processes that are gone as well."""
    for path in Path(RUN_DIRECTORY).glob("*.sock"):
        with contextlib.suppress(OSError):
            if path.stem.isdigit() and not Path(f"/proc/{path.stem}").exists() and is_dead(str(path)):
                path.unlink()


def _check_port_is_free(address: Address) -> None:
    """gRPC logs its own complaint on stderr when it cannot bind, and does not say why: so ask first."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise JcollectError(
                f"cannot listen at {address.text}: the address is in use; choose another one with --listen"
            ) from None
        raise JcollectError(f"cannot listen at {address.text}: {error.strerror}") from None

"""Limits what clients may ask of a collector, each and all together: any client that can connect may be
hostile.

A rejected request costs little and gets one sentence as its error. It never reaches the threads that read and
follow.
"""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import grpc

from jcollect.rpc.keepalive import SERVER_OPTIONS as KEEPALIVE_OPTIONS

# Limits of one request, lengths in characters; collector.proto and docs/consume-events.md state them too.
MOST_GLOBS = 64
MOST_GLOB_LENGTH = 512
MOST_PIDS = 1024
# A request within the limits above needs less than half of it.
_REQUEST_BYTES = 256 << 10

# Each call holds a thread of the pool; further calls are rejected, not queued.
MOST_CALLS = 128
# Each stream holds a thread for as long as the client likes, and a queue; the limit leaves threads for other
# calls.
MOST_STREAMS = 64
MOST_REFLECTIONS = 8
# Calls that read every probe hold the interpreter for most of their time, and the reader needs it too.
_LONGEST_REST_SECONDS = 1.0
_LOOK_WAIT_SECONDS = 30.0
_ACTIVE_SECONDS = 0.2

# A client needs one. Beyond this number, or this part of the available descriptors, gRPC hangs up.
_MOST_CONNECTIONS = 128
_SHARE_OF_DESCRIPTORS = 1 / 4
_LEAST_CONNECTIONS = 4
_CALLS_PER_CONNECTION = 64
_HEADER_BYTES = 8 << 10
# Time to send the start of HTTP/2; then time without a call, after which a gRPC client reconnects for its
# next one.
_HANDSHAKE_SECONDS = 10
_IDLE_SECONDS = 60


def server_options() -> list[tuple[str, int]]:
    """Returns the arguments of a gRPC server's channels. Reads how many descriptors there may be at this
    moment."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    share = _MOST_CONNECTIONS
    if descriptors != resource.RLIM_INFINITY:
        share = max(int(descriptors * _SHARE_OF_DESCRIPTORS), _LEAST_CONNECTIONS)
    return [
        # With reuseport, two collectors could share a port, each getting half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", min(_MOST_CONNECTIONS, share)),
        ("grpc.server_handshake_timeout_ms", int(1000 * _HANDSHAKE_SECONDS)),
        ("grpc.max_connection_idle_ms", int(1000 * _IDLE_SECONDS)),
        ("grpc.max_concurrent_streams", _CALLS_PER_CONNECTION),
        # Limits the calls that have not reached Python.
        ("grpc.server.max_pending_requests", MOST_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * MOST_CALLS),
        # Applies to the decompressed size as well.
        ("grpc.max_receive_message_length", _REQUEST_BYTES),
        ("grpc.max_metadata_size", _HEADER_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * _HEADER_BYTES),
        *KEEPALIVE_OPTIONS,
    ]


def raise_descriptor_limit() -> None:
    """Raises this process's limit of open files to its maximum: clients and targets use some each.

    Children inherit the limit. Those of jcollect, a compiler and a helper in another namespace, open few
    files.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A limit above fs.nr_open fails with EPERM.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Request(Protocol):
    """Fields that all requests of the service have."""

    @property
    def globs(self) -> Sequence[str]: ...
    @property
    def pids(self) -> Sequence[int]: ...


def refuse_if_too_large(request: Request, context: grpc.ServicerContext) -> None:
    """Ends the call with INVALID_ARGUMENT, and a sentence that names the limit that the request exceeds."""
    problem = ""
    if len(request.globs) > MOST_GLOBS:
        problem = f"{len(request.globs):,} globs; at most {MOST_GLOBS} are taken"
    elif longest := max((len(glob) for glob in request.globs if len(glob) > MOST_GLOB_LENGTH), default=0):
        problem = f"a glob of {longest:,} characters; at most {MOST_GLOB_LENGTH} are taken"
    elif len(request.pids) > MOST_PIDS:
        problem = f"{len(request.pids):,} PIDs; at most {MOST_PIDS:,} are taken"
    if problem:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the request has {problem}")


class Slots:
    """Limits the calls of one kind at a time; further ones are rejected at once."""

    def __init__(self, most: int, what: str) -> None:
        """`what` names the calls, as in "streams"."""
        self._free = threading.BoundedSemaphore(most)
        self._refusal = f"the collector serves {most} {what} already"

    @contextlib.contextmanager
    def one(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Holds a slot for the block. Ends the call with RESOURCE_EXHAUSTED if none is free."""
        if not self._free.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self._refusal)
        try:
            yield
        finally:
            self._free.release()


class Turns:
    """Runs one call at a time, with a pause after it for as long as it took. Others wait in the order of
    their arrival, unless their clients give up."""

    def __init__(self, seconds: float = _LOOK_WAIT_SECONDS) -> None:
        """`seconds` is the maximum time that a call waits."""
        self._seconds = seconds
        self._is_taken = False
        # Time (time.monotonic()) at which the next call may begin.
        self._rested = 0.0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def one(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Waits for a turn, and holds it for the block. Ends the call with RESOURCE_EXHAUSTED if it does not
        come in time."""
        if not self._has_begun(context):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls wait for the collector")
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                ended = time.monotonic()
                self._rested = ended + min(ended - begun, _LONGEST_REST_SECONDS)
                self._changed.notify_all()

    def _has_begun(self, context: grpc.ServicerContext) -> bool:
        deadline = time.monotonic() + self._seconds
        mine = object()
        with self._changed:
            self._waiting.append(mine)
            try:
                while context.is_active():
                    now = time.monotonic()
                    is_next = self._waiting[0] is mine and not self._is_taken
                    if is_next and now >= self._rested:
                        self._is_taken = True
                        return True
                    if now >= deadline:
                        return False
                    rest = self._rested - now if is_next else _ACTIVE_SECONDS
                    self._changed.wait(min(rest, _ACTIVE_SECONDS))
                return False
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()

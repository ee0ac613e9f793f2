"""Limits the requests of one client, and of all clients together: no client is trusted.

A rejected request is cheap and gets one sentence as its error. It never reaches the threads that read events
or scan processes.
"""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import grpc

from jcollect.rpc.keepalive import SERVER_OPTIONS as KEEPALIVE_OPTIONS

# Limits of one request, lengths in characters; collector.proto and docs/consume-events.md state them too.
MOST_GLOBS = 64
MOST_GLOB_LENGTH = 512
MOST_PIDS = 1024
# Maximum number of probes by hits, in the answer to a GetStatusRequest with `top`.
MOST_TOP = 1000
# A request within the limits above needs less than half of it.
_REQUEST_BYTES = 256 << 10

# Each call holds a thread of the pool; further calls are rejected, not queued.
MOST_CALLS = 128
# A stream holds a thread and a queue until the client disconnects. The limit leaves threads for other calls.
MOST_STREAMS = 64
# Each reads the memory of all traced processes once per interval.
MOST_AGGREGATIONS = 16
LEAST_INTERVAL_MILLIS = 100
MOST_KEY_BYTES = 16
MOST_REFLECTIONS = 8
# Calls that read all probes hold Python's lock for most of their time, and the reader of events needs it too.
_LONGEST_PAUSE_SECONDS = 1.0
_TURN_WAIT_SECONDS = 30.0
_ACTIVE_SECONDS = 0.2

# A client needs one. Beyond this number, or this share of the available descriptors, gRPC disconnects
# clients.
_MOST_CONNECTIONS = 128
_SHARE_OF_DESCRIPTORS = 1 / 4
_LEAST_CONNECTIONS = 4
_CALLS_PER_CONNECTION = 64
_HEADER_BYTES = 8 << 10
# Maximum time to complete the HTTP/2 handshake, and maximum time without a call. A gRPC client reconnects for
# its next call.
_HANDSHAKE_SECONDS = 10
_IDLE_SECONDS = 60


def server_options() -> list[tuple[str, int]]:
    """Returns the channel options of a gRPC server, based on the current limit of descriptors."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    share = _MOST_CONNECTIONS
    if descriptors != resource.RLIM_INFINITY:
        share = max(int(descriptors * _SHARE_OF_DESCRIPTORS), _LEAST_CONNECTIONS)
    return [
        # With SO_REUSEPORT, two collectors could share a port, and each would get half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", min(_MOST_CONNECTIONS, share)),
        ("grpc.server_handshake_timeout_ms", int(1000 * _HANDSHAKE_SECONDS)),
        ("grpc.max_connection_idle_ms", int(1000 * _IDLE_SECONDS)),
        ("grpc.max_concurrent_streams", _CALLS_PER_CONNECTION),
        # Calls that have not reached Python yet.
        ("grpc.server.max_pending_requests", MOST_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * MOST_CALLS),
        # Applies to the decompressed size as well.
        ("grpc.max_receive_message_length", _REQUEST_BYTES),
        ("grpc.max_metadata_size", _HEADER_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * _HEADER_BYTES),
        *KEEPALIVE_OPTIONS,
    ]


def raise_descriptor_limit() -> None:
    """Raises this process's limit of open files to its maximum, because each client and target uses some.

    Child processes inherit the limit. Those of jcollect open few files.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A limit above fs.nr_open fails with EPERM.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Request(Protocol):
    """The fields that all requests of the service have."""

    @property
    def globs(self) -> Sequence[str]: ...
    @property
    def pids(self) -> Sequence[int]: ...


def reject_if_too_large(request: Request, context: grpc.ServicerContext) -> None:
    """Ends the call with INVALID_ARGUMENT if the request exceeds a limit, and names that limit."""
    problem = ""
    globs = [*request.globs, *getattr(request, "deny", ())]
    if len(globs) > MOST_GLOBS:
        problem = f"{len(globs):,} globs; the limit is {MOST_GLOBS}"
    elif longest := max((len(glob) for glob in globs if len(glob) > MOST_GLOB_LENGTH), default=0):
        problem = f"a glob of {longest:,} characters; the limit is {MOST_GLOB_LENGTH}"
    elif len(request.pids) > MOST_PIDS:
        problem = f"{len(request.pids):,} PIDs; the limit is {MOST_PIDS:,}"
    if problem:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the request has {problem}")


def reject_short_interval(millis: int, context: grpc.ServicerContext) -> None:
    """Ends the call with INVALID_ARGUMENT if an interval is too short; 0 stands for none."""
    if 0 < millis < LEAST_INTERVAL_MILLIS:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"the request has an interval of {millis} ms; the minimum is {LEAST_INTERVAL_MILLIS}",
        )


def reject_long_key(key: bytes, context: grpc.ServicerContext) -> None:
    """Ends the call with INVALID_ARGUMENT if the key of a stream is too long."""
    if len(key) > MOST_KEY_BYTES:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"the request has a key of {len(key):,} bytes; the limit is {MOST_KEY_BYTES}",
        )


class Slots:
    """Limits the number of concurrent calls of one kind; rejects further calls immediately."""

    def __init__(self, most: int, what: str) -> None:
        """`what` names the calls, as in "streams"."""
        self._free = threading.BoundedSemaphore(most)
        self._rejection = f"the collector already serves {most} {what}"

    @contextlib.contextmanager
    def one(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Holds a slot for the block. Ends the call with RESOURCE_EXHAUSTED if none is free."""
        if not self._free.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self._rejection)
        try:
            yield
        finally:
            self._free.release()


_TOO_MANY_CALLS = "too many calls are waiting for the collector"


class BusyError(Exception):
    """There was no turn in time."""


class Turns:
    """Runs one call at a time, followed by a pause as long as the call. Other calls wait in order of arrival,
    until their clients give up."""

    def __init__(self, seconds: float = _TURN_WAIT_SECONDS) -> None:
        """`seconds` is the maximum time that a call waits."""
        self._seconds = seconds
        self._is_taken = False
        # Time (time.monotonic()) at which the next call may begin.
        self._next_start = 0.0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def one(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Waits for a turn, and holds it for the block. Ends the call with RESOURCE_EXHAUSTED if it has to
        wait too long."""
        if not self._wait_for_turn(context.is_active, self._seconds):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _TOO_MANY_CALLS)
        with self._turn():
            yield

    @contextlib.contextmanager
    def without_client(self, seconds: float | None = None) -> Iterator[None]:
        """Does what `one` does for a caller that is no call of gRPC, within `seconds`. Raises BusyError."""
        if not self._wait_for_turn(lambda: True, self._seconds if seconds is None else seconds):
            raise BusyError(_TOO_MANY_CALLS)
        with self._turn():
            yield

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                ended = time.monotonic()
                self._next_start = ended + min(ended - begun, _LONGEST_PAUSE_SECONDS)
                self._changed.notify_all()

    def _wait_for_turn(self, is_active: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        mine = object()
        with self._changed:
            self._waiting.append(mine)
            try:
                while is_active():
                    now = time.monotonic()
                    is_next = self._waiting[0] is mine and not self._is_taken
                    if is_next and now >= self._next_start:
                        self._is_taken = True
                        return True
                    if now >= deadline:
                        return False
                    pause = self._next_start - now if is_next else _ACTIVE_SECONDS
                    self._changed.wait(min(pause, _ACTIVE_SECONDS))
                return False
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()

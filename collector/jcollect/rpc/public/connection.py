"""The connections of a public client: those of the commands, for a process that is not jcollect's own.

gRPC can hang or abort for lack of threads. A command then ends itself with a message (last_resort.py). A
library must not end the program that uses it, or change how that handles signals.
"""

from __future__ import annotations

import contextlib
from typing import Any

import grpc

from jcollect.rpc.address import parse_address
from jcollect.rpc.client import ANSWER_SECONDS, Client
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.names import END_AGGREGATE
from jcollect.rpc.subscriber import Subscriber
from jprobe.v1 import collector_pb2

# By default gRPC waits up to two minutes before it connects again; streams wait themselves (backoff.py).
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Otherwise the streams of a process would share a connection, and one that is not read could delay the
    # others.
    ("grpc.use_local_subchannel_pool", 1),
)
Place = str | int


class _Embedded(Client):
    """Leaves the process alone."""

    _channel_options = _CHANNEL_OPTIONS

    def _check_can_start(self) -> None:
        pass

    def _unless_stuck(self, seconds: float = 0.0) -> Any:
        return contextlib.nullcontext()


class Connection(_Embedded, Subscriber):
    """The calls of a public client. Streams open theirs on its channel."""

    def __init__(self, place: Place, access: ClientAccess) -> None:
        """`place` is a PID, unix:///path/of.sock or host:port. Raises JcollectError if it is none of them."""
        super().__init__(parse_address(str(place)), access)
        self.place = self._address.text

    def open_async_channel(self) -> Any:
        """Returns a channel of the running event loop to the same collector."""
        return self._open_channel(grpc.aio)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return self._access.metadata

    def end_intervals(self, request: collector_pb2.EndAggregateRequest) -> None:
        """Has the collector read the counts once more and end a stream of histograms. Raises
        JcollectError."""
        self._ask(END_AGGREGATE, request, collector_pb2.EndAggregateResponse, ANSWER_SECONDS)

    def close(self) -> None:
        self.channel.close()

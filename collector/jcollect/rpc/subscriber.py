"""A client that subscribes to the events of a collector."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from jcollect.errors import JcollectError
from jcollect.hub.items import Item, Schema
from jcollect.hub.stream_options import EVERYTHING, StreamOptions
from jcollect.probes.nearest import hint
from jcollect.rpc.client import Client
from jcollect.rpc.incoming import Incoming
from jcollect.rpc.names import SUBSCRIBE
from jcollect.rpc.stream_request import stream_request
from jprobe.v1 import collector_pb2

# Maximum time until a stream has begun: for this time a collector lets a request wait for others
# (rpc/limits.py).
BEGIN_SECONDS = 30.0


class Subscriber(Client):
    """A connection with at most one stream of events."""

    def subscribe(
        self,
        globs: Sequence[str] = (),
        seconds: float | None = None,
        pids: Sequence[int] = (),
        options: StreamOptions = EVERYTHING,
    ) -> Iterator[Item]:
        """Yields items, schemas first, until the collector exits or `close_stream` is called; at the latest
        `seconds` after the collector should have begun.

        Raises JcollectError if no process listens at the address, nothing matches, or the collector
        disconnects or stops answering.
        """
        self.check_answers()
        call: Any = self.channel.unary_stream(
            SUBSCRIBE, request_serializer=collector_pb2.SubscribeRequest.SerializeToString
        )
        # The caller counts its duration from `subscribed`: a busy collector may need longer than the duration
        # to describe many probes.
        most = None if seconds is None else seconds + BEGIN_SECONDS
        stream = call(
            stream_request(globs, pids, options),
            timeout=most,
            metadata=self._access.metadata,
        )
        begun = False
        incoming = Incoming(options.columns)
        self._stream = stream
        if self._is_closed:
            stream.cancel()
        try:
            for message in stream:
                begun = True
                item = incoming.decode(message)
                if incoming.cursor is not None:
                    self.epoch = incoming.cursor.epoch
                if isinstance(item, Schema) and not item.has_more and self.subscribed is None:
                    self.subscribed = time.monotonic()
                if item is not None:
                    yield item
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and begun:
                return
            if self._is_closed and error.code() == grpc.StatusCode.CANCELLED:
                return
            raise self.explain_stream(error, begun, globs, pids, most or 0.0) from None
        finally:
            stream.cancel()

    def explain_stream(
        self, error: Any, begun: bool, globs: Sequence[str], pids: Sequence[int], seconds: float = 0.0
    ) -> JcollectError:
        """Returns what the error of a stream means, as `explain` does; names probes that globs may stand
        for."""
        if error.code() == grpc.StatusCode.NOT_FOUND and (near := self._nearest(globs, pids)):
            return JcollectError(f"{error.details()} at {self._address.text}{near}")
        return self.explain(error, begun, seconds)

    def _nearest(self, globs: Sequence[str], pids: Sequence[int]) -> str:
        """Returns a clause about the probes that globs may stand for; empty if there are none."""
        try:
            return hint(globs, self.list_probes((), pids))
        except JcollectError:
            return ""

    # The random number of the collector's run; 0 until a cursor has come, or if there is none.
    epoch = 0
    # The time.monotonic() at which the collector had described all probes; None until then.
    subscribed: float | None = None
    _stream: Any = None
    _is_closed = False

    def close_stream(self) -> None:
        """Ends the stream of `subscribe`, from another thread."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.cancel()

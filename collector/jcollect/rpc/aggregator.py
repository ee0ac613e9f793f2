"""A client that has a collector count calls, and receives histograms of their durations."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from jcollect.errors import JcollectError
from jcollect.probes.nearest import hint
from jcollect.rpc.address import Address
from jcollect.rpc.client import Client
from jcollect.rpc.client_access import NO_ACCESS, ClientAccess
from jcollect.rpc.incoming_intervals import IncomingIntervals
from jcollect.rpc.limits import MOST_KEY_BYTES
from jcollect.rpc.names import AGGREGATE, END_AGGREGATE
from jcollect.rpc.subscriber import BEGIN_SECONDS
from jcollect.session.aggregation import CountedInterval
from jprobe.v1 import collector_pb2

# Maximum time for the rest of the last interval: a collector waits a second for each process.
_END_SECONDS = 3.0


class Aggregator(Client):
    """A connection with at most one stream of histograms. `lacks_rest` is true after `close_stream` if the
    collector has not sent the calls since its last interval."""

    _stream: Any = None
    _is_closed = False
    _has_begun = False
    lacks_rest = False

    def __init__(self, address: Address, access: ClientAccess = NO_ACCESS) -> None:
        super().__init__(address, access)
        self._key = os.urandom(MOST_KEY_BYTES)
        self._has_ended = threading.Event()

    def aggregate(
        self,
        globs: Sequence[str] = (),
        pids: Sequence[int] = (),
        interval: float = 0.0,
        seconds: float | None = None,
    ) -> Iterator[CountedInterval]:
        """Yields intervals of so many seconds until the collector exits or `close_stream` is called; at the
        latest `seconds` after the collector should have begun. The first one only describes the probes. With
        an `interval` of 0, yields one with all calls since the collector began to count.

        Raises JcollectError as Subscriber.subscribe does.
        """
        self.check_answers()
        call: Any = self.channel.unary_stream(
            AGGREGATE, request_serializer=collector_pb2.AggregateRequest.SerializeToString
        )
        most = None if seconds is None else seconds + BEGIN_SECONDS
        request = collector_pb2.AggregateRequest(
            globs=globs, pids=pids, interval_millis=round(interval * 1e3), key=self._key
        )
        stream = call(request, timeout=most, metadata=self._access.metadata)
        self._stream = stream
        if self._is_closed:
            stream.cancel()
        parts = IncomingIntervals()
        try:
            for message in stream:
                self._has_begun = True
                complete = parts.add(message)
                if complete is not None:
                    yield complete
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and self._has_begun:
                return
            if self._is_closed and error.code() == grpc.StatusCode.CANCELLED:
                return
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise JcollectError(
                    f"the collector at {self._address.text} cannot count calls: it is of an earlier version, "
                    "or no collector"
                ) from None
            if error.code() == grpc.StatusCode.NOT_FOUND and (near := self._nearest(globs, pids)):
                raise JcollectError(f"{error.details()} at {self._address.text}{near}") from None
            raise self.explain(error, self._has_begun, most or 0.0) from None
        finally:
            stream.cancel()
            self._has_ended.set()

    def close_stream(self) -> None:
        """Ends the stream of `aggregate`, from another thread. Waits a few seconds for the calls since its
        last interval."""
        self._is_closed = True
        if self._has_begun and not self._has_ended.is_set():
            self._receive_rest()
        if self._stream is not None:
            self._stream.cancel()

    def _receive_rest(self) -> None:
        deadline = time.monotonic() + _END_SECONDS
        request = collector_pb2.EndAggregateRequest(key=self._key)
        # A collector of an earlier version sends whole intervals only.
        with contextlib.suppress(JcollectError):
            self._ask(END_AGGREGATE, request, collector_pb2.EndAggregateResponse, _END_SECONDS)
            self._has_ended.wait(max(0.0, deadline - time.monotonic()))
        self.lacks_rest = not self._has_ended.is_set()

    def _nearest(self, globs: Sequence[str], pids: Sequence[int]) -> str:
        try:
            return hint(globs, self.list_probes((), pids))
        except JcollectError:
            return ""

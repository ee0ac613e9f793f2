"""A client that has a collector count calls, and receives histograms of their durations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from jcollect.errors import JcollectError
from jcollect.probes.nearest import hint
from jcollect.rpc.client import Client
from jcollect.rpc.incoming_intervals import IncomingIntervals
from jcollect.rpc.names import AGGREGATE
from jcollect.rpc.subscriber import BEGIN_SECONDS
from jcollect.session.aggregation import CountedInterval
from jprobe.v1 import collector_pb2


class Aggregator(Client):
    """A connection with at most one stream of histograms."""

    _stream: Any = None
    _is_closed = False

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
            globs=globs, pids=pids, interval_millis=round(interval * 1e3)
        )
        stream = call(request, timeout=most)
        self._stream = stream
        if self._is_closed:
            stream.cancel()
        begun = False
        parts = IncomingIntervals()
        try:
            for message in stream:
                begun = True
                complete = parts.add(message)
                if complete is not None:
                    yield complete
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and begun:
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
            raise self.explain(error, begun, most or 0.0) from None
        finally:
            stream.cancel()

    def close_stream(self) -> None:
        """Ends the stream of `aggregate`, from another thread."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.cancel()

    def _nearest(self, globs: Sequence[str], pids: Sequence[int]) -> str:
        try:
            return hint(globs, self.list_probes((), pids))
        except JcollectError:
            return ""

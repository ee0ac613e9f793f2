"""Streams of the synchronous client. What they do after a broken connection is decided in resumption.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc

from jcollect.errors import JcollectError
from jcollect.hub.items import Skipped
from jcollect.rpc.public.batch import Batch
from jcollect.rpc.public.connection import Connection
from jcollect.rpc.public.interval import Interval, IntervalResumption
from jcollect.rpc.public.items import Cursor, Gap, Lost
from jcollect.rpc.public.resumption import Resumption

Item = TypeVar("Item")
Part = TypeVar("Part")
_Part = TypeVar("_Part", covariant=True)


class Resumable(Protocol[_Part]):
    """The common part of Resumption and IntervalResumption."""

    @property
    def is_described(self) -> bool: ...
    def begin(self) -> Any: ...
    def take(self, message: bytes) -> _Part | None: ...
    def after_end(self) -> float | None: ...
    def after_error(self, error: Any, explain: Callable[[Any, bool], JcollectError]) -> float: ...


class _Stream(Generic[Part]):
    """Receives parts, over as many connections as it takes. Iterate in one thread; any thread may close
    it."""

    def __init__(self, connection: Connection, method: str, resumable: Resumable[Part]) -> None:
        """The stream closes the connection."""
        self._connection = connection
        self._method = method
        self._resumable = resumable
        self._over = threading.Event()
        self._call: Any = None
        self._parts = self._receive()
        try:
            connection.check_answers()
            # Runs up to the end of the first schema, so that most errors are raised here.
            next(self._parts, None)
        except BaseException:
            self.close()
            raise

    def _receive(self) -> Iterator[Part | None]:
        """Yields parts; None whenever a connection has begun, and for each message without a part."""
        resumable = self._resumable
        delay: float | None = 0.0
        while delay is not None and not self._over.wait(delay):
            request = resumable.begin()
            call = self._connection.channel.unary_stream(
                self._method, request_serializer=type(request).SerializeToString
            )
            self._call = stream = call(request, metadata=self._connection.metadata)
            if self._over.is_set():
                stream.cancel()
            explain = partial(self._explain, request)
            has_begun = False
            try:
                for message in stream:
                    part = resumable.take(message)
                    if resumable.is_described and not has_begun:
                        has_begun = True
                        yield None
                    if has_begun:
                        yield part
                delay = resumable.after_end()
            except grpc.RpcError as error:
                if self._over.is_set():
                    return
                delay = resumable.after_error(error, explain)
            finally:
                stream.cancel()

    def _explain(self, request: Any, error: Any, begun: bool) -> JcollectError:
        return self._connection.explain_stream(error, begun, request.globs, request.pids)

    def close(self) -> None:
        """Ends the stream. A thread that waits for the next item gets none."""
        self._over.set()
        if self._call is not None:
            self._call.cancel()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EventNotices:
    """What a stream of events reports besides them."""

    def __init__(self, resumption: Resumption) -> None:
        self._resumption = resumption
        self._cursor = resumption.cursor

    def _passing(self, batch: Batch | None, items_of: Callable[[Batch], Iterable[Item]]) -> Iterator[Item]:
        """Yields the items of a batch. The cursor passes the batch together with its last item."""
        items = iter(items_of(batch)) if batch is not None else iter(())
        item = next(items, None)
        while item is not None:
            following = next(items, None)
            if following is None:
                self._cursor = self._resumption.cursor
            yield item
            item = following
        self._cursor = self._resumption.cursor

    @property
    def cursor(self) -> Cursor | None:
        """The position after the last batch whose items have all been returned: pass it as `after` to go
        on from there in another stream. None if the collector keeps no history."""
        return self._cursor

    @property
    def gaps(self) -> list[Gap]:
        """The gaps so far; of more than 1,000 the latest."""
        return list(self._resumption.gaps)

    @property
    def lost(self) -> Lost:
        """The losses that the collector has reported, over all connections."""
        return self._resumption.lost

    @property
    def skipped(self) -> Skipped:
        """The events that the request has left out, as far as the collector has reported them."""
        return self._resumption.skipped

    @property
    def reconnects(self) -> int:
        """How often the stream has connected again, or tried to."""
        return max(0, self._resumption.connections - 1)

    @property
    def throttled(self) -> int:
        """Calls that did not fire because of the overhead limit, as far as the collector has reported
        them."""
        return self._resumption.throttled


class EventStream(_Stream[Batch], EventNotices, Generic[Item]):
    """Iterates over events, batches or tables, in the order in which the collector sends them."""

    def __init__(
        self,
        connection: Connection,
        method: str,
        resumption: Resumption,
        items_of: Callable[[Batch], Iterable[Item]],
    ) -> None:
        _Stream.__init__(self, connection, method, resumption)
        EventNotices.__init__(self, resumption)
        self._items_of = items_of
        self._items = self._iterate()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def _iterate(self) -> Iterator[Item]:
        for batch in self._parts:
            yield from self._passing(batch, self._items_of)


class IntervalNotices:
    """What a stream of intervals reports besides them."""

    def __init__(self, resumption: IntervalResumption) -> None:
        self._intervals = resumption

    @property
    def gaps(self) -> list[Gap]:
        """The gaps so far; of more than 1,000 the latest."""
        return list(self._intervals.gaps)


class IntervalStream(_Stream[Interval], IntervalNotices):
    """Iterates over the intervals of histograms."""

    def __init__(self, connection: Connection, method: str, resumption: IntervalResumption) -> None:
        _Stream.__init__(self, connection, method, resumption)
        IntervalNotices.__init__(self, resumption)

    def __iter__(self) -> Iterator[Interval]:
        return self

    def __next__(self) -> Interval:
        for interval in self._parts:
            if interval is not None:
                return interval
        raise StopIteration

    def end(self) -> None:
        """Has the collector send the calls since the last interval, after which the stream ends. `close`
        would lose them. Raises JcollectError."""
        self._connection.end_intervals(self._intervals.ending())

"""Streams of the asynchronous client, as those of stream.py. What they do after a broken connection is
decided in resumption.py."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self

import grpc

from jcollect.errors import JcollectError
from jcollect.rpc.public.batch import Batch
from jcollect.rpc.public.connection import Connection
from jcollect.rpc.public.interval import Interval, IntervalResumption
from jcollect.rpc.public.resumption import Resumption
from jcollect.rpc.public.stream import EventNotices, IntervalNotices, Item, Part, Resumable


class _AsyncStream(Generic[Part]):
    """Receives parts, over as many connections as it takes. `async with` begins the stream; otherwise the
    first item does. One task iterates; any task of the same loop may close it."""

    def __init__(self, connection: Connection, method: str, resumable: Resumable[Part]) -> None:
        """The stream closes the connection."""
        self._connection = connection
        self._method = method
        self._resumable = resumable
        self._over = asyncio.Event()
        self._channel: Any = None
        self._call: Any = None
        self._has_begun = False
        self._parts = self._receive()

    async def begin(self) -> None:
        """Waits until the collector has described its probes. Raises JcollectError."""
        if self._has_begun:
            return
        self._has_begun = True
        try:
            await asyncio.to_thread(self._connection.check_answers)
            self._channel = self._connection.open_async_channel()
            await anext(self._parts, None)
        except BaseException:
            await self.close()
            raise

    async def _receive(self) -> AsyncIterator[Part | None]:
        """As in stream.py."""
        resumable = self._resumable
        delay: float | None = 0.0
        while delay is not None and not await self._is_over(delay):
            request = resumable.begin()
            call = self._channel.unary_stream(
                self._method, request_serializer=type(request).SerializeToString
            )
            self._call = stream = call(request, metadata=self._connection.metadata)
            has_begun = False
            try:
                async for message in stream:
                    part = resumable.take(message)
                    if resumable.is_described and not has_begun:
                        has_begun = True
                        yield None
                    if has_begun:
                        yield part
                delay = resumable.after_end()
            except asyncio.CancelledError:
                # gRPC raises it in the reader of a call that another task has cancelled.
                if self._over.is_set():
                    return
                raise
            except grpc.RpcError as error:
                if self._over.is_set():
                    return
                delay = resumable.after_error(error, partial(self._explain, request))
            finally:
                stream.cancel()

    async def _is_over(self, seconds: float) -> bool:
        """Waits until the stream is closed, at most this time. Returns true if it is."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), seconds)
        return self._over.is_set()

    def _explain(self, request: Any, error: Any, begun: bool) -> JcollectError:
        return self._connection.explain_stream(error, begun, request.globs, request.pids)

    async def close(self) -> None:
        """Ends the stream. A task that waits for the next item gets none."""
        self._over.set()
        if self._call is not None:
            self._call.cancel()
        if self._channel is not None:
            await self._channel.close()
        self._connection.close()

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncEventStream(_AsyncStream[Batch], EventNotices, Generic[Item]):
    """Iterates over events, batches or tables, in the order in which the collector sends them."""

    def __init__(
        self,
        connection: Connection,
        method: str,
        resumption: Resumption,
        items_of: Callable[[Batch], Iterable[Item]],
    ) -> None:
        _AsyncStream.__init__(self, connection, method, resumption)
        EventNotices.__init__(self, resumption)
        self._items_of = items_of
        self._items = self._iterate()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        await self.begin()
        return await anext(self._items)

    async def _iterate(self) -> AsyncIterator[Item]:
        async for batch in self._parts:
            for item in self._passing(batch, self._items_of):
                yield item


class AsyncIntervalStream(_AsyncStream[Interval], IntervalNotices):
    """Iterates over the intervals of histograms."""

    def __init__(self, connection: Connection, method: str, resumption: IntervalResumption) -> None:
        _AsyncStream.__init__(self, connection, method, resumption)
        IntervalNotices.__init__(self, resumption)

    def __aiter__(self) -> AsyncIterator[Interval]:
        return self

    async def __anext__(self) -> Interval:
        await self.begin()
        async for interval in self._parts:
            if interval is not None:
                return interval
        raise StopAsyncIteration

    async def end(self) -> None:
        """As IntervalStream.end."""
        await asyncio.to_thread(self._connection.end_intervals, self._intervals.ending())

"""The asynchronous public client: the same streams for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

from jcollect.rpc.client import ANSWER_SECONDS
from jcollect.rpc.names import AGGREGATE, SUBSCRIBE
from jcollect.rpc.public.access import access_of
from jcollect.rpc.public.async_stream import AsyncEventStream, AsyncIntervalStream
from jcollect.rpc.public.batch import Batch
from jcollect.rpc.public.client import DEFAULT_RECONNECT, Client, OnGap, alone
from jcollect.rpc.public.connection import Connection, Place
from jcollect.rpc.public.event import Event
from jcollect.rpc.public.filters import EventFilters, aggregate_request, subscribe_request
from jcollect.rpc.public.interval import IntervalResumption
from jcollect.rpc.public.items import Reconnect
from jcollect.rpc.public.probe import Probe
from jcollect.rpc.public.resumption import Resumption
from jcollect.rpc.public.stream import Item
from jprobe.v1 import collector_pb2


class AsyncClient:
    """A client of one collector, for the tasks of one event loop. Its methods are those of
    jcollect.Client; streams begin with `async with`, or with their first item."""

    def __init__(
        self,
        collector: Place,
        *,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        token: str | None = None,
        token_file: str | None = None,
        reconnect: Reconnect | None = DEFAULT_RECONNECT,
    ) -> None:
        """As Client does."""
        self._collector = collector
        self._access = access_of(tls_ca, tls_cert, tls_key, token, token_file)
        self._reconnect = reconnect
        self._calls = Client(
            collector,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            token=token,
            token_file=token_file,
        )

    async def probes(self, probes: str | Iterable[str] = (), pids: Iterable[int] = ()) -> list[Probe]:
        """As Client.probes."""
        return await asyncio.to_thread(self._calls.probes, probes, pids)

    async def status(
        self,
        probes: str | Iterable[str] = (),
        pids: Iterable[int] = (),
        *,
        summary_only: bool = False,
        top: int = 0,
        seconds: float = ANSWER_SECONDS,
    ) -> collector_pb2.GetStatusResponse:
        """As Client.status."""
        return await asyncio.to_thread(
            self._calls.status, probes, pids, summary_only=summary_only, top=top, seconds=seconds
        )

    def events(
        self,
        probes: str | Iterable[str] = (),
        *,
        on_gap: OnGap | None = None,
        **filters: Unpack[EventFilters],
    ) -> AsyncEventStream[Event]:
        """As Client.events."""
        return self._stream(probes, iter, on_gap, filters)

    def batches(
        self,
        probes: str | Iterable[str] = (),
        *,
        on_gap: OnGap | None = None,
        **filters: Unpack[EventFilters],
    ) -> AsyncEventStream[Batch]:
        """As Client.batches."""
        return self._stream(probes, alone, on_gap, filters)

    def tables(
        self,
        probes: str | Iterable[str] = (),
        *,
        on_gap: OnGap | None = None,
        **filters: Unpack[EventFilters],
    ) -> AsyncEventStream[Any]:
        """As Client.tables."""
        from jcollect.rpc.public.tables import Tables

        return self._stream(probes, Tables().of, on_gap, filters)

    def histograms(
        self,
        probes: str | Iterable[str] = (),
        pids: Iterable[int] = (),
        *,
        interval: float = 1.0,
        on_gap: OnGap | None = None,
    ) -> AsyncIntervalStream:
        """As Client.histograms."""
        request = aggregate_request(probes, pids, interval)
        connection = self._connect()
        resumption = IntervalResumption(request, connection.place, self._reconnect, on_gap)
        return AsyncIntervalStream(connection, AGGREGATE, resumption)

    def _stream(
        self,
        probes: str | Iterable[str],
        items_of: Callable[[Batch], Iterable[Item]],
        on_gap: OnGap | None,
        filters: EventFilters,
    ) -> AsyncEventStream[Item]:
        request = subscribe_request(probes, filters)
        connection = self._connect()
        resumption = Resumption(request, connection.place, self._reconnect, on_gap)
        return AsyncEventStream(connection, SUBSCRIBE, resumption, items_of)

    def _connect(self) -> Connection:
        return Connection(self._collector, self._access)

    async def close(self) -> None:
        """Closes the connection. Streams have their own, and stay open."""
        self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

"""The synchronous public client."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

from jcollect.rpc.client import ANSWER_SECONDS
from jcollect.rpc.names import AGGREGATE, SUBSCRIBE
from jcollect.rpc.public.access import access_of
from jcollect.rpc.public.batch import Batch
from jcollect.rpc.public.connection import Connection, Place
from jcollect.rpc.public.event import Event
from jcollect.rpc.public.filters import (
    EventFilters,
    aggregate_request,
    glob_list,
    pid_list,
    subscribe_request,
)
from jcollect.rpc.public.interval import IntervalResumption
from jcollect.rpc.public.items import Gap, Reconnect
from jcollect.rpc.public.probe import Probe, probe_of
from jcollect.rpc.public.resumption import Resumption
from jcollect.rpc.public.stream import EventStream, IntervalStream, Item
from jprobe.v1 import collector_pb2

OnGap = Callable[[Gap], object]
DEFAULT_RECONNECT = Reconnect()


class Client:
    """A client of one collector; a context manager that closes it. Any thread may use it.

    All methods raise jcollect.errors.JcollectError, whose message says what to do. Streams reconnect, and
    report what they have missed: to `on_gap`, in the thread that iterates, or as a warning of the logger
    "jcollect".
    """

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
        """`collector` is the PID of the traced process, "unix:///path/of.sock" or "host:port". Nothing is
        sent yet.

        `tls_ca`, `tls_cert`, `tls_key` and `token_file` are those of the command line's --tls-ca, and so
        on. Without `reconnect`, a broken connection is an error.
        """
        self._collector = collector
        self._access = access_of(tls_ca, tls_cert, tls_key, token, token_file)
        self._reconnect = reconnect
        self._calls = self._connect()

    def _connect(self) -> Connection:
        return Connection(self._collector, self._access)

    def probes(self, probes: str | Iterable[str] = (), pids: Iterable[int] = ()) -> list[Probe]:
        """Returns the probes that globs match, ordered by ID, with their current state."""
        return [probe_of(each) for each in self._calls.list_probes(glob_list(probes), pid_list(pids))]

    def status(
        self,
        probes: str | Iterable[str] = (),
        pids: Iterable[int] = (),
        *,
        summary_only: bool = False,
        top: int = 0,
        seconds: float = ANSWER_SECONDS,
    ) -> collector_pb2.GetStatusResponse:
        """Returns the hit counts, within `seconds` for each page: GetStatusResponse in collector.proto."""
        return self._calls.begin_status(glob_list(probes), pid_list(pids), summary_only, seconds, top)()

    def events(
        self,
        probes: str | Iterable[str] = (),
        *,
        on_gap: OnGap | None = None,
        **filters: Unpack[EventFilters],
    ) -> EventStream[Event]:
        """Subscribes to the events of the probes that globs match, as objects. Returns when the stream has
        begun."""
        return self._stream(probes, iter, on_gap, filters)

    def batches(
        self,
        probes: str | Iterable[str] = (),
        *,
        on_gap: OnGap | None = None,
        **filters: Unpack[EventFilters],
    ) -> EventStream[Batch]:
        """The same events as numpy columns."""
        return self._stream(probes, alone, on_gap, filters)

    def tables(
        self,
        probes: str | Iterable[str] = (),
        *,
        on_gap: OnGap | None = None,
        **filters: Unpack[EventFilters],
    ) -> EventStream[Any]:
        """The same events as pyarrow tables. Needs the extra jprobe[arrow]."""
        from jcollect.rpc.public.tables import Tables

        return self._stream(probes, Tables().of, on_gap, filters)

    def histograms(
        self,
        probes: str | Iterable[str] = (),
        pids: Iterable[int] = (),
        *,
        interval: float = 1.0,
        on_gap: OnGap | None = None,
    ) -> IntervalStream:
        """Has the programs count calls, and streams histograms of their durations every `interval`
        seconds. With 0, yields one with all calls since the collector began to count."""
        request = aggregate_request(probes, pids, interval)
        connection = self._connect()
        resumption = IntervalResumption(request, connection.place, self._reconnect, on_gap)
        return IntervalStream(connection, AGGREGATE, resumption)

    def _stream(
        self,
        probes: str | Iterable[str],
        items_of: Callable[[Batch], Iterable[Item]],
        on_gap: OnGap | None,
        filters: EventFilters,
    ) -> EventStream[Item]:
        request = subscribe_request(probes, filters)
        connection = self._connect()
        resumption = Resumption(request, connection.place, self._reconnect, on_gap)
        return EventStream(connection, SUBSCRIBE, resumption, items_of)

    def close(self) -> None:
        """Closes the connection. Streams have their own, and stay open."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def alone(batch: Batch) -> Iterable[Batch]:
    return (batch,)

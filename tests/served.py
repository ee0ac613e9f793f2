"""A collector's server without a collector: the real hub and gRPC service, and probes that never fire."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from jcollect.hub.accounts import Accounts, Totals
from jcollect.hub.hub import Hub, NoSuchProbeError, matching
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import Subscription
from jcollect.probes.description import ProbeDescription
from jcollect.rpc.access_file import read_access_file
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.audit import Audit
from jcollect.rpc.listening import claim
from jcollect.rpc.reloaded import Reloaded
from jcollect.rpc.server import Server
from jcollect.session.aggregation import Aggregation
from jcollect.session.commander import Commander
from jcollect.session.status import ProbeStatus, Status
from jcollect.sources.columns import Batch, Columns
from jcollect.workers import Failures
from jprobe.v1 import collector_pb2, collector_pb2_grpc, probe_pb2
from list_source import StillCounters

PID = 4711


def described(
    count: int, first: int = 0, name: str = "com.acme.orders.Order{}Service"
) -> list[ProbeDescription]:
    """Returns that many probes, each of its own class."""
    return [
        ProbeDescription(
            id=number,
            pid=PID,
            provider=f"com_acme_Order{number}",
            name="place__entry",
            kind=probe_pb2.PROBE_KIND_ENTRY,
            class_name=name.format(number),
            method="place",
            method_descriptor="(J)V",
            values=(probe_pb2.Value(name="id", java_type="long", type=probe_pb2.VALUE_TYPE_LONG),),
            class_loader_id=0,
            file="",
            location=0,
            semaphore=0,
            condition="",
        )
        for number in range(first, first + count)
    ]


def one_event(probe: int) -> Batch:
    """Returns a batch of one event with the value 42."""
    one = np.ones(1, np.uint64)
    number = np.array([probe], np.uint32)
    columns = Columns(one, one, number, number, one, one, 42 * one, b"")
    return Batch(columns, np.ones(1, np.uint32), np.zeros(1, np.uint32))


class StillSource:
    """Replaces a session."""

    def __init__(self, probes: Sequence[ProbeDescription], **hub: int) -> None:
        """`hub` are arguments of the hub."""
        capacity = 2 * len(probes) + 64
        self.failures = Failures()
        self.commander = Commander(list)
        self.probes = list(probes)
        self.hub = Hub(probes, Accounts(capacity, [StillCounters(capacity)]), **hub)

    def describe(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), after: int = -1
    ) -> Iterator[ProbeDescription]:
        matches = matching(globs, pids)
        return (probe for probe in self.probes if probe.id > after and (matches is None or matches(probe)))

    def subscribe(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        peer: str = "",
        options: StreamOptions | None = None,
    ) -> Subscription:
        if set(pids) - {PID}:
            raise NoSuchProbeError("such a PID")
        return self.hub.subscribe(globs, list(self.describe()), pids, peer, options)

    def aggregate(self, globs: Sequence[str] = (), pids: Collection[int] = ()) -> Aggregation:
        """Returns one for which nothing is ever counted."""
        if set(pids) - {PID} or not list(self.describe(globs, pids)):
            raise NoSuchProbeError("such a request")
        return Aggregation(list, lambda: None, 0, globs, pids)

    def status(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        summary_only: bool = False,
        after: int = -1,
        most_probes: int | None = None,
        top: int = 0,
    ) -> Status:
        nothing = Totals(0, 0, 0, 0, 0)
        probes = () if summary_only else islice(self.describe(globs, pids, after), most_probes)
        counted = [ProbeStatus(probe, nothing, is_linked=False, attach_point=0) for probe in probes]
        return Status("", PID, 0, 0, "", 0, 0, 0, 0, nothing, (), counted, (), 0)


@contextlib.contextmanager
def serving(
    source: StillSource,
    folder: Path,
    listen: str = "",
    access: Path | None = None,
    audit: Audit | None = None,
    **options: Any,
) -> Iterator[Address]:
    """Runs a server on a socket in the folder, or at `listen`, supervised as by attach; checks at the end
    that it has not failed. `access` is an access file; the `options` are those of `claim`.
    """
    rules = Reloaded([str(access)], lambda: read_access_file(str(access)), "it", 0.1) if access else None
    with claim(parse_address(listen or f"unix://{folder}/still.sock"), **options) as claimed:
        server = Server(source, claimed, rules, audit)
        address = server.address
        over = threading.Event()

        def supervise() -> None:
            while not over.wait(0.1):
                server.disconnect_stalled()

        supervisor = threading.Thread(target=supervise)
        supervisor.start()
        try:
            yield address
        finally:
            over.set()
            supervisor.join()
            source.hub.end()
            server.stop()
    source.failures.check()


@contextlib.contextmanager
def stub_at(address: Address, **options: Any) -> Iterator[collector_pb2_grpc.CollectorServiceStub]:
    with grpc.insecure_channel(address.target, [("grpc.max_send_message_length", -1)], **options) as channel:
        yield collector_pb2_grpc.CollectorServiceStub(channel)


def can_connect(address: Address) -> bool:
    """Returns true if a new client is answered."""
    with stub_at(address) as stub, contextlib.suppress(grpc.RpcError):
        return bool(stub.GetStatus(collector_pb2.GetStatusRequest(), timeout=5).probes)
    return False

"""Histograms of the public client, with the real session and this process as the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import jcollect
from counting_target import CountingTarget
from cut_connections import Relay
from jcollect import Gap, GapReason, Reconnect
from jcollect.exponential_histogram import NOTHING
from jcollect.rpc.address import parse_address
from jcollect.rpc.listening import claim
from jcollect.rpc.server import Server
from jcollect.session.options import SessionSettings
from jcollect.session.session import Session
from list_source import ListSource

PLACE, CLOSE = range(2)
QUICK = Reconnect(seconds=10, first_delay=0.01, longest_delay=0.1)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[CountingTarget]:
    """Serves at c.sock."""
    target = CountingTarget(tmp_path)
    target.open_histograms()
    session = Session(SessionSettings(capacity=64, only_counts=True), open_sources=[ListSource])
    session.start()
    session.join(target.scan(), lambda probe: True, "orders").attach()
    with claim(parse_address(f"unix://{tmp_path}/c.sock")) as claimed:
        server = Server(session, claimed)
        try:
            yield target
        finally:
            session.detach()
            server.stop()
            session.close()
            target.close()


def test_a_snapshot_has_all_calls(target: CountingTarget, tmp_path: Path) -> None:
    target.call(PLACE, 100, calls=104_729)
    target.call(CLOSE, 5)
    with jcollect.Client(f"unix://{tmp_path}/c.sock") as client:
        (interval,) = client.histograms(interval=0)
    counts = {probe.name: histogram.count for probe, histogram in interval.histograms.items()}
    assert counts == {"place__return": 104_729, "close__return": 1}
    assert interval.start_unix_nanos <= interval.end_unix_nanos


def test_intervals_go_on_after_a_cut_and_report_a_gap(target: CountingTarget, tmp_path: Path) -> None:
    gaps: list[Gap] = []
    with (
        Relay(tmp_path / "relay.sock", tmp_path / "c.sock") as relay,
        jcollect.Client(relay.address, reconnect=QUICK) as client,
        client.histograms("*place*", interval=0.1, on_gap=gaps.append) as stream,
    ):
        target.call(PLACE, 50, calls=3)
        total = NOTHING
        for interval in stream:
            for histogram in interval.histograms.values():
                total += histogram
            if total.count == 3:
                relay.cut()
                break
        for _ in range(2):
            next(stream)
        target.call(PLACE, 50, calls=4)
        while total.count < 7:
            for histogram in next(stream).histograms.values():
                total += histogram
    assert total.count == 7
    assert total.total == 350
    assert gaps == stream.gaps == [Gap(None, False, GapReason.NO_HISTORY)]


def test_no_call_is_left_out_at_the_end(target: CountingTarget, tmp_path: Path) -> None:
    with (
        jcollect.Client(f"unix://{tmp_path}/c.sock", reconnect=Reconnect(after_end=True)) as client,
        client.histograms("*place*", interval=60) as stream,
    ):
        target.call(PLACE, 50, calls=1009)
        stream.end()
        (interval,) = stream
    assert [histogram.count for histogram in interval.histograms.values()] == [1009]


def test_asynchronous_intervals(target: CountingTarget, tmp_path: Path) -> None:
    async def read() -> int:
        async with (
            jcollect.AsyncClient(f"unix://{tmp_path}/c.sock") as client,
            client.histograms("*place*", interval=60) as stream,
        ):
            target.call(PLACE, 50, calls=1009)
            await stream.end()
            return sum([each.count async for interval in stream for each in interval.histograms.values()])

    assert asyncio.run(read()) == 1009

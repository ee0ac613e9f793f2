"""Clients with gRPC's default limits use a collector with 100,000 probes: it splits answers into pages, and
schemas into parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from jcollect.errors import MalformedStreamError
from jcollect.hub.cursor import Cursor
from jcollect.hub.items import Loss, LossStage, Throttling
from jcollect.rpc.address import Address
from jcollect.rpc.client import Client
from jcollect.rpc.messages import MESSAGE_BYTES, stream_messages
from jprobe.v1 import collector_pb2
from served import PID, StillSource, described, serving, stub_at

PROBES = 100_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    folder: Path = tmp_path_factory.mktemp("many")
    with serving(StillSource(described(PROBES)), folder) as address:
        yield address


def test_a_plain_client_subscribes_to_100_000_probes(address: Address) -> None:
    found: list[int] = []
    sizes = []
    with stub_at(address) as stub:
        for response in stub.Subscribe(collector_pb2.SubscribeRequest(), timeout=60):
            found += (probe.id for probe in response.schema.probes)
            sizes.append(response.ByteSize())
            if not response.schema.has_more:
                break
    assert found == list(range(PROBES))
    assert max(sizes) <= MESSAGE_BYTES + 100


@pytest.mark.parametrize("page_size", [0, 1000])
def test_a_plain_client_lists_100_000_probes_page_by_page(address: Address, page_size: int) -> None:
    found: list[int] = []
    # Two globs, so that later pages are matched too.
    request = collector_pb2.ListProbesRequest(globs=["*Order*", "x"], pids=[PID], page_size=page_size)
    pages = 0
    with stub_at(address) as stub:
        while True:
            response = stub.ListProbes(request, timeout=60)
            pages += 1
            found += (probe.id for probe in response.probes)
            assert response.ByteSize() <= MESSAGE_BYTES + 100
            if not response.next_page_token or (page_size and pages == 10):
                break
            request.page_token = response.next_page_token
    assert found == list(range(10 * page_size if page_size else PROBES))


def test_a_plain_client_gets_the_hit_counts_of_100_000_probes_page_by_page(address: Address) -> None:
    found: list[int] = []
    request = collector_pb2.GetStatusRequest()
    with stub_at(address) as stub:
        while True:
            response = stub.GetStatus(request, timeout=60)
            assert response.pid == PID
            found += (each.probe.id for each in response.probes)
            if not response.next_page_token:
                break
            request.page_token = response.next_page_token
    assert found == list(range(PROBES))


def test_our_client_turns_the_pages_itself(address: Address) -> None:
    with Client(address) as client:
        assert [probe.id for probe in client.list_probes()] == list(range(PROBES))
        status = client.status()
        assert [each.probe.id for each in status.probes] == list(range(PROBES))
        assert not status.next_page_token


@pytest.mark.parametrize("token", ["x", "-1", "1" * 11, "\N{SUPERSCRIPT TWO}"])
def test_a_token_that_no_answer_had_is_an_invalid_argument(address: Address, token: str) -> None:
    with stub_at(address) as stub, pytest.raises(grpc.RpcError) as error:
        stub.ListProbes(collector_pb2.ListProbesRequest(page_token=token), timeout=10)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token must be the next_page_token" in error.value.details()


def test_our_client_takes_no_more_probes_than_a_collector_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jcollect.rpc.paging.MOST_ON_A_PAGE", 10)
    monkeypatch.setattr("jcollect.rpc.client.MAX_COLLECTOR_PROBES", 20)
    with serving(StillSource(described(21)), tmp_path) as address, Client(address) as client:
        for ask in (client.list_probes, client.status):
            with pytest.raises(MalformedStreamError, match="its answer has more than 20 probes"):
                ask()


_CURSOR = Cursor(1, 2, 3)


def test_notices_about_very_many_probes_come_in_parts() -> None:
    loss = Loss(LossStage.SUBSCRIBER, 7 * 120_000, dict.fromkeys(range(120000), 7))
    messages = stream_messages(loss, _CURSOR)
    parts = [collector_pb2.SubscribeResponse.FromString(message).loss for message in messages]
    assert [len(part.probes) for part in parts] == [50_000, 50_000, 20_000]
    assert {part.events for part in parts} == {7 * 120_000}
    assert [each.probe for part in parts for each in part.probes] == list(range(120_000))
    throttling = Throttling(range(60_000), range(3), 9)
    notices = [
        collector_pb2.SubscribeResponse.FromString(message).throttling
        for message in stream_messages(throttling, _CURSOR)
    ]
    assert [(len(part.began), len(part.ended), part.throttled) for part in notices] == [
        (50_000, 3, 9),
        (10_000, 0, 9),
    ]

"""jcollect.AsyncClient with the real hub and server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import jcollect
from certificates import Authority
from cut_connections import Relay
from jcollect import GapReason, JcollectError, Reconnect
from jcollect.rpc.server_tls import ServerTls, TlsPaths
from published import PROBES, Publisher
from served import StillSource, described, serving

QUICK = Reconnect(seconds=10, first_delay=0.01, longest_delay=0.1)


@pytest.fixture
def source() -> StillSource:
    return StillSource(described(PROBES))


@pytest.fixture
def address(source: StillSource, tmp_path: Path) -> Iterator[str]:
    with serving(source, tmp_path) as address:
        yield address.text


def test_probes_status_and_events(source: StillSource, address: str) -> None:
    async def read() -> list[int]:
        async with jcollect.AsyncClient(address) as client:
            assert [probe.id for probe in await client.probes("*Order2*")] == [2]
            assert len((await client.status()).probes) == PROBES
            async with client.events() as stream:
                Publisher(source).publish(1009)
                source.hub.end()
                return [event.seq async for event in stream]

    assert asyncio.run(read()) == list(range(1009))


def test_batches_and_tables(source: StillSource, address: str) -> None:
    Publisher(source).publish(1009)

    async def read() -> None:
        async with jcollect.AsyncClient(address) as client:
            batches = [batch async for batch in client.batches(last=1009, follow=False)]
            assert sum(map(len, batches)) == 1009
            tables = [table async for table in client.tables(last=1009, follow=False)]
            assert sum(table.num_rows for table in tables) == 1009

    asyncio.run(read())


def test_a_stream_goes_on_where_its_connection_was_cut(
    source: StillSource, address: str, tmp_path: Path
) -> None:
    publisher = Publisher(source)

    async def read(relay: Relay) -> list[int]:
        seqs = []
        async with (
            jcollect.AsyncClient(relay.address, reconnect=QUICK) as client,
            client.events() as stream,
        ):
            publisher.publish(1009)
            async for event in stream:
                seqs.append(event.seq)
                if event.seq % 1009 == 500:
                    relay.cut()
                if event.seq + 1 == publisher.published:
                    if publisher.published == 5 * 1009:
                        break
                    publisher.publish(1009)
            assert stream.gaps == []
            assert stream.cursor is not None
            assert stream.cursor.seq == 5 * 1009
        return seqs

    with Relay(tmp_path / "relay.sock", tmp_path / "still.sock") as relay:
        assert asyncio.run(read(relay)) == list(range(5 * 1009))
        assert relay.connections > 1


def test_a_restarted_collector_is_a_gap(tmp_path: Path) -> None:
    first, second = StillSource(described(PROBES)), StillSource(described(PROBES))
    Publisher(second).publish(7)

    async def read(relay: Relay) -> None:
        async with (
            jcollect.AsyncClient(relay.address, reconnect=QUICK) as client,
            client.events() as stream,
        ):
            Publisher(first).publish(5)
            seqs = [(await anext(stream)).seq for _ in range(5)]
            relay.target = tmp_path / "second.sock"
            relay.cut()
            seqs += [(await anext(stream)).seq for _ in range(7)]
            assert seqs == [*range(5), *range(7)]
            assert [gap.reason for gap in stream.gaps] == [GapReason.RESTART]

    with (
        serving(first, tmp_path, f"unix://{tmp_path}/first.sock"),
        serving(second, tmp_path, f"unix://{tmp_path}/second.sock"),
        Relay(tmp_path / "relay.sock", tmp_path / "first.sock") as relay,
    ):
        asyncio.run(read(relay))


def test_a_task_that_waits_for_an_event_can_be_cancelled(address: str) -> None:
    async def read() -> None:
        async with jcollect.AsyncClient(address) as client, client.events() as stream:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.2)

    asyncio.run(read())


def test_another_task_can_close_the_stream(address: str) -> None:
    async def read() -> int:
        async with jcollect.AsyncClient(address) as client, client.events() as stream:
            loop = asyncio.get_running_loop()
            loop.call_later(0.2, lambda: closing.append(asyncio.ensure_future(stream.close())))
            closing: list[asyncio.Future[None]] = []
            count = len([event async for event in stream])
            await asyncio.gather(*closing)
            return count

    assert asyncio.run(read()) == 0


def test_errors_are_those_of_the_synchronous_client(address: str, tmp_path: Path) -> None:
    async def subscribe(place: str, globs: str) -> None:
        async with jcollect.AsyncClient(place) as client, client.events(globs):
            pass

    with pytest.raises(JcollectError, match=r"no probe of this collector matches \*nothing\* at"):
        asyncio.run(subscribe(address, "*nothing*"))
    with pytest.raises(JcollectError, match=r"no collector listens at"):
        asyncio.run(subscribe(f"unix://{tmp_path}/no.sock", ""))


def test_tls_and_a_token(source: StillSource, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "main")
    server, reader = authority.issue("localhost", host="127.0.0.1"), authority.issue("reader.example")
    tls = ServerTls(TlsPaths(str(server.certificate), str(server.key), str(authority.certificate)))
    digest = hashlib.sha256(b"correct-horse").hexdigest()
    rules = tmp_path / "access.toml"
    rules.write_text(f'[[client]]\nname = "reader"\ntoken_sha256 = "{digest}"\nrights = ["view", "values"]\n')
    Publisher(source).publish(5)
    files = {
        "tls_ca": str(authority.certificate),
        "tls_cert": str(reader.certificate),
        "tls_key": str(reader.key),
    }

    async def read(place: str) -> list[int]:
        async with jcollect.AsyncClient(place, token="correct-horse", **files) as client:
            return [event.seq async for event in client.events(last=5, follow=False)]

    with serving(source, tmp_path, "127.0.0.1:0", access=rules, tls=tls) as address:
        assert asyncio.run(read(address.text)) == list(range(5))
        with jcollect.Client(address.text, token="correct-horse", **files) as client:
            assert len(list(client.events(last=5, follow=False))) == 5
            assert len(client.probes()) == PROBES
        with (
            jcollect.Client(address.text, token="wrong", **files) as client,
            pytest.raises(JcollectError, match="does not know this token"),
        ):
            client.events()

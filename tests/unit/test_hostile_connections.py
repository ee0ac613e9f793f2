"""Closes excess and idle connections; no other client is affected."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

import jcollect.rpc.limits
from conditions import wait_until
from jcollect.rpc.address import Address
from jcollect.rpc.client import Client
from jprobe.v1 import collector_pb2
from served import StillSource, can_connect, described, one_event, serving, stub_at

PROBES = 100
# The beginning of an HTTP/2 connection: the preface, and empty settings.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@pytest.fixture
def source() -> StillSource:
    return StillSource(described(PROBES))


def connected(address: Address, says: bytes) -> socket.socket:
    assert address.path is not None
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(address.path)
    with contextlib.suppress(OSError):  # The server may have closed it already.
        connection.sendall(says)
    return connection


def is_ended(connection: socket.socket) -> bool:
    """Returns true if the server has closed the connection."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def test_connections_beyond_the_limit_are_closed(
    source: StillSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jcollect.rpc.limits, "_MOST_CONNECTIONS", 8)
    with serving(source, tmp_path) as address, contextlib.ExitStack() as stack:
        stub = stack.enter_context(stub_at(address))
        stream = stub.Subscribe(collector_pb2.SubscribeRequest(), timeout=60)
        assert len(next(stream).schema.probes) == PROBES
        crowd = [connected(address, PREFACE + SETTINGS) for _ in range(40)]
        wait_until(lambda: sum(map(is_ended, crowd)) >= 40 - 7, "those that are too many are hung up on")
        assert not all(map(is_ended, crowd))
        source.hub.publish(one_event(5))
        assert list(next(stream).batch.values) == [42]
        for connection in crowd:
            connection.close()
        wait_until(lambda: can_connect(address), "there is room again")


@pytest.mark.parametrize("says", [b"", PREFACE[:10], PREFACE, b"GET / HTTP/1.1\r\n"], ids=str)
def test_a_connection_without_a_request_is_closed(
    source: StillSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    monkeypatch.setattr(jcollect.rpc.limits, "_HANDSHAKE_SECONDS", 0.2)
    with serving(source, tmp_path) as address, connected(address, says) as connection:
        wait_until(lambda: is_ended(connection), "it is hung up on")
        assert can_connect(address)


def test_an_idle_connection_is_closed_without_an_error_for_its_client(
    source: StillSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jcollect.rpc.limits, "_IDLE_SECONDS", 0.5)
    with (
        serving(source, tmp_path) as address,
        Client(address) as client,
        connected(address, PREFACE + SETTINGS) as connection,
    ):
        assert len(client.list_probes()) == PROBES
        wait_until(lambda: is_ended(connection), "it is hung up on")
        assert len(client.list_probes()) == PROBES

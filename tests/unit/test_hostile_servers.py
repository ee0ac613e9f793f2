"""A client of a server that is not a collector fails with one sentence, in bounded memory."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.probes.description import ProbeDescription
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.client import Client, SilentError
from jcollect.rpc.incoming import Incoming
from jcollect.rpc.messages import probe_message
from jcollect.rpc.names import GET_STATUS, SUBSCRIBE
from jcollect.rpc.subscriber import Subscriber
from jcollect.sinks.terminal import TerminalSink
from jcollect.view.line_formats import line_format
from jcollect.view.summary import MOST_METHODS, Summary
from jprobe.v1 import collector_pb2
from served import StillSource, described, serving

Answer = Callable[[], Iterator[bytes]]


class _Answers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call, except those of the health service, with a given message."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, details: Any) -> Any:
        if details.method not in (GET_STATUS, SUBSCRIBE):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
        return grpc.unary_stream_rpc_method_handler(lambda request, context: self._answer())


@contextlib.contextmanager
def server(folder: Path, answer: Answer) -> Iterator[Address]:
    address = parse_address(f"unix://{folder}/hostile.sock")
    with ThreadPoolExecutor(4) as pool:
        served = grpc.server(
            pool, handlers=[_Answers(answer)], options=[("grpc.max_send_message_length", -1)]
        )
        served.add_insecure_port(address.target)
        served.start()
        try:
            yield address
        finally:
            served.stop(0).wait(10)


def response(**body: Any) -> bytes:
    return collector_pb2.SubscribeResponse(**body).SerializeToString()


def test_a_status_that_never_ends_ends_with_the_deadline(tmp_path: Path) -> None:
    over = threading.Event()

    def endless() -> Iterator[bytes]:
        while not over.wait(0.01):
            yield bytes(1000)

    with server(tmp_path, endless) as address, Client(address) as client:
        begun = time.monotonic()
        with pytest.raises(JcollectError, match="collector at "):
            client.status(seconds=1)
        assert time.monotonic() - begun < 10
        over.set()


def test_the_wait_for_a_status_that_never_arrives_ends(tmp_path: Path) -> None:
    over = threading.Event()

    def never() -> Iterator[bytes]:
        over.wait(30)
        yield b""

    with server(tmp_path, never) as address, Client(address) as client:
        with pytest.raises(SilentError, match=r"has not answered within 0\.5 s"):
            client.status(seconds=0.5)
        over.set()


def test_pages_that_never_end_are_given_up(tmp_path: Path) -> None:
    counts = [collector_pb2.ProbeHitCounts(probe=collector_pb2.Probe(id=5))]
    page = collector_pb2.GetStatusResponse(probes=counts, next_page_token="5").SerializeToString()
    with (
        server(tmp_path, lambda: iter([page])) as address,
        Client(address) as client,
        pytest.raises(MalformedStreamError, match="its pages do not end"),
    ):
        client.status(seconds=30)


def test_an_answer_beyond_the_size_limit_is_rejected(tmp_path: Path) -> None:
    with (
        server(tmp_path, lambda: iter([bytes(129 << 20)])) as address,
        Client(address) as client,
        pytest.raises(JcollectError, match="Received message larger than max"),
    ):
        client.status(seconds=30)


def test_the_texts_of_a_server_are_limited() -> None:
    highest = (1 << 20) - 1
    assert Incoming().decode(response(schema=collector_pb2.Schema(probes=[collector_pb2.Probe(id=highest)])))
    for body in (
        {"schema": collector_pb2.Schema(probes=[collector_pb2.Probe(id=highest + 1)])},
        {"throttling": collector_pb2.Throttling(began=[2**32 - 1])},
    ):
        with pytest.raises(
            MalformedStreamError, match="sent a malformed stream: it has a probe with the ID "
        ):
            Incoming().decode(response(**body))
    with pytest.raises(MalformedStreamError, match="a message cannot be decoded"):
        Incoming().decode(b"\xff" * 9)


@pytest.mark.parametrize("of", ["probes", "values"])
def test_a_message_of_empty_parts_is_not_decoded_into_objects(
    of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen MiB of empty submessages would become a gigabyte."""
    monkeypatch.setattr("jcollect.rpc.elements.MOST_ELEMENTS", 100_000)
    parts = (b"\x0a\x00" if of == "probes" else b"\x52\x00") * (8 << 20)
    if of == "values":
        parts = b"\x0a" + varint(len(parts)) + parts
    message = b"\x0a" + varint(len(parts)) + parts
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MalformedStreamError, match="a message cannot be decoded"):
        Incoming().decode(message)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def schema_of(probes: list[ProbeDescription]) -> collector_pb2.Schema:
    return collector_pb2.Schema(probes=map(probe_message, probes))


def batch(**columns: Any) -> bytes:
    sound: dict[str, Any] = {
        name: [1] for name in ("seq", "time_unix_nanos", "probe", "tid", "thread", "duration_nanos", "values")
    }
    return response(batch=collector_pb2.EventBatch(**(sound | columns)))


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"seq": [1, 2]}, "the columns of a batch have different lengths"),
        ({"probe": [2]}, "a batch has events of a probe that was not described"),
        ({"probe": [2**32 - 1]}, "a batch has events of a probe that was not described"),
        ({"values": []}, "a batch has more or fewer values than its events"),
        ({"values": [1, 2]}, "a batch has more or fewer values than its events"),
    ],
)
def test_batches_that_are_not_as_described_are_not_read(columns: dict[str, Any], problem: str) -> None:
    incoming = Incoming()
    incoming.decode(response(schema=schema_of(described(2))))
    assert incoming.decode(batch())
    with pytest.raises(MalformedStreamError, match=problem):
        incoming.decode(batch(**columns))


def test_endless_descriptions_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcollect.rpc.incoming.MOST_DESCRIBED_BYTES", 100_000)
    incoming = Incoming()
    for _ in range(5):
        # Descriptions of the same probes again use no more memory.
        incoming.decode(response(schema=schema_of(described(500))))
    with pytest.raises(MalformedStreamError, match="its descriptions have "):
        incoming.decode(response(schema=schema_of(described(1000, 500))))


def test_endless_methods_are_not_summed_up() -> None:
    summary = Summary()
    with pytest.raises(JcollectError, match="select fewer with --probe"):
        summary.describe(collector_pb2.Probe(id=0, method=str(number)) for number in range(MOST_METHODS + 1))


def test_a_hostile_stream_is_reported_in_one_sentence(tmp_path: Path) -> None:
    class Nowhere:
        def write(self, content: bytes) -> None:
            raise AssertionError(content)

    schema = response(schema=schema_of(described(1)))
    with server(tmp_path, lambda: iter([schema, batch(probe=[7])])) as address, Subscriber(address) as client:
        sink = TerminalSink(line_format("json"), Nowhere())
        with pytest.raises(MalformedStreamError):
            deque(map(sink.take, client.subscribe()), maxlen=0)


def test_a_client_reports_why_a_collector_rejects_a_request(tmp_path: Path) -> None:
    with serving(StillSource(described(3)), tmp_path) as address, Subscriber(address) as client:
        problem = "rejects the request: the request has 65 globs; the limit is 64"
        with pytest.raises(JcollectError, match=problem):
            client.list_probes(["x"] * 65)
        with pytest.raises(JcollectError, match=problem):
            next(client.subscribe(["x"] * 65))

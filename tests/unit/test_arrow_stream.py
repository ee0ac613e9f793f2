"""Streams with the encoding Arrow: each message is an Arrow IPC stream that pyarrow reads."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import pyarrow as pa
import pytest

from event_batches import Event, batch, probe, value
from jcollect.rpc.messages import MESSAGE_BYTES
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from served import StillSource, serving

PLACE = probe(0, value("id", "long"), value("city", "java.lang.String"), method="place")
CANCEL = probe(1, value("reason", "java.lang.String"), method="cancel")


def stream_of(address: str, request: collector_pb2.SubscribeRequest) -> list[collector_pb2.SubscribeResponse]:
    """Returns the messages of a request for history."""
    request.only_history = True
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        return list(collector_pb2_grpc.CollectorServiceStub(channel).Subscribe(request))


def rows_of(messages: list[collector_pb2.SubscribeResponse]) -> list[dict[str, object]]:
    """Returns all rows of the Arrow messages."""
    found: list[dict[str, object]] = []
    for message in messages:
        if message.HasField("arrow"):
            found += pa.ipc.open_stream(message.arrow.ipc).read_all().to_pylist()
    return found


def arrow_request(**fields: object) -> collector_pb2.SubscribeRequest:
    return collector_pb2.SubscribeRequest(encoding=collector_pb2.ENCODING_ARROW_IPC, **fields)


def test_events_arrive_as_arrow(tmp_path: Path) -> None:
    source = StillSource([PLACE, CANCEL])
    source.hub.publish(
        batch(
            [
                Event(PLACE, (7, "Riga"), 5, 1000),
                Event(CANCEL, ("late",), 6, 2000),
                Event(PLACE, (8, None), 7, 3000),
            ]
        )
    )
    with serving(source, tmp_path) as address:
        messages = stream_of(address.target, arrow_request())
        rows = rows_of(messages)
        masked = rows_of(stream_of(address.target, arrow_request(columns=[collector_pb2.EVENT_COLUMN_TID])))
    keys = ("seq", "method", "kind", "duration_nanos", "id", "city", "reason")
    assert [[row[key] for key in keys] for row in rows] == [
        [0, "place", "return", 5, 7, "Riga", None],
        [1, "cancel", "return", 6, None, None, "late"],
        [2, "place", "return", 7, 8, None, None],
    ]
    assert {"tid", "seq", "probe", "method"} <= set(masked[0])
    assert not {"time", "id", "city", "duration_nanos"} & set(masked[0])
    assert messages[0].HasField("schema")
    assert messages[-1].cursor.seq == 3


def test_a_large_batch_comes_in_parts_and_only_the_last_one_moves_the_cursor(tmp_path: Path) -> None:
    source = StillSource([PLACE, CANCEL])
    source.hub.publish(batch([Event(CANCEL, (f"{number:>1000}",)) for number in range(1000)]))
    source.hub.publish(batch([Event(CANCEL, (f"{number:>1000}",)) for number in range(1000)], 1000))
    with serving(source, tmp_path) as address:
        messages = stream_of(address.target, arrow_request())
    arrows = [message for message in messages if message.HasField("arrow")]
    assert len(arrows) >= 4
    assert all(message.ByteSize() <= MESSAGE_BYTES + 64 for message in arrows)
    assert [row["seq"] for row in rows_of(messages)] == list(range(2000))
    # Whoever comes back after any message gets what follows it.
    received = 0
    for message in arrows:
        received += len(rows_of([message]))
        if message.HasField("cursor"):
            assert message.cursor.seq == received


def test_dictionaries_have_only_the_names_of_their_message(tmp_path: Path) -> None:
    probes = [probe(number, method=f"method{number}") for number in range(2000)]
    source = StillSource(probes)
    source.hub.publish(batch([Event(probes[1999])]))
    with serving(source, tmp_path) as address:
        messages = stream_of(address.target, arrow_request())
    assert [row["method"] for row in rows_of(messages)] == ["method1999"]
    assert all(len(message.arrow.ipc) < 10_000 for message in messages)


def test_without_pyarrow_the_encoding_is_unimplemented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = StillSource([PLACE, CANCEL])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with serving(source, tmp_path) as address, pytest.raises(grpc.RpcError) as caught:
        stream_of(address.target, arrow_request())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "pip install 'jprobe[arrow]'" in caught.value.details()


def test_too_many_names_of_values_end_that_stream_only(tmp_path: Path) -> None:
    probes = [probe(number, value(f"x{number}", "int"), method=f"m{number}") for number in range(1100)]
    source = StillSource(probes)
    source.hub.publish(batch([Event(probes[0], (7,))]))
    with serving(source, tmp_path) as address:
        with pytest.raises(grpc.RpcError) as caught:
            stream_of(address.target, arrow_request())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "more than 1,000 captured values" in caught.value.details()
        assert len(rows_of(stream_of(address.target, arrow_request(globs=["m0"])))) == 1
    source.failures.check()


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_every": 2**64 - 1},
        {"last": 2**64 - 1},
        {"since_unix_nanos": 2**64 - 1},
        {"max_rate": 2**32 - 1},
        {"where": "\u00b2 == 1"},
        {"where": "id == 9223372036854775807 and duration < 9223372036s"},
    ],
)
def test_extreme_numbers_of_a_request_harm_nobody(tmp_path: Path, fields: dict[str, object]) -> None:
    source = StillSource([PLACE, CANCEL])
    source.hub.publish(batch([Event(PLACE, (7, "Riga"))]))
    with serving(source, tmp_path) as address:
        try:
            stream_of(address.target, collector_pb2.SubscribeRequest(**fields))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017
        assert len(rows_of(stream_of(address.target, arrow_request()))) == 1
    source.failures.check()


def test_a_fault_in_one_stream_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = StillSource([PLACE, CANCEL])
    source.hub.publish(batch([Event(PLACE, (7, "Riga"))]))
    with serving(source, tmp_path) as address:
        with monkeypatch.context() as broken:
            broken.setattr("jcollect.hub.selection.Selection.apply", lambda *_: 1 // 0)
            with pytest.raises(grpc.RpcError) as caught:
                stream_of(address.target, collector_pb2.SubscribeRequest(sample_every=2))
        assert caught.value.code() == grpc.StatusCode.INTERNAL
        assert len(rows_of(stream_of(address.target, arrow_request()))) == 1
    source.failures.check()
    assert "ZeroDivisionError" in capfd.readouterr().err

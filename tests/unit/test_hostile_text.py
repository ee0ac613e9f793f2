"""Servers that send too much: long text, many numbers, endless notices. A client rejects the message, or
prints it in bounded memory."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_hostile_servers import response, server, varint

from jcollect.cli.notices import Notices
from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.hub.items import Throttling
from jcollect.hub.wire import encode
from jcollect.rpc.address import Address, default_address, parse_address, pid_of
from jcollect.rpc.client import Client
from jcollect.rpc.find import find_collector
from jcollect.rpc.incoming import Incoming
from jcollect.sources.columns import Columns
from jcollect.view.throttling import ThrottledProbes
from jprobe.v1 import collector_pb2, probe_pb2
from received import EncodedPrinter
from ring_image import string
from served import described

_MIB = 1 << 20


class _Out:
    """Records the size of the largest write."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def write(self, content: bytes) -> None:
        self.sizes.append(len(content))


def schema(**of_probe: Any) -> bytes:
    probe = collector_pb2.Probe(id=0, **of_probe)
    return response(schema=collector_pb2.Schema(probes=[probe]))


def events(count: int, values: list[int], text: bytes = b"") -> bytes:
    many = np.ones(count, np.uint64)
    zeros = np.zeros(count, np.uint32)
    return encode(Columns(many, many, zeros, zeros, many, many, np.array(values, np.uint64), text))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize(
    ("size", "problem"),
    [(65_537, "a value has 65,537 bytes"), (9 * _MIB, r"a batch has 9,\d\d\d,\d\d\d bytes")],
)
def test_an_endless_value_is_not_printed(size: int, problem: str) -> None:
    printer = EncodedPrinter("compact", _Out())
    value = probe_pb2.Value(name="x", type=probe_pb2.VALUE_TYPE_STRING)
    printer.take(schema(kind=probe_pb2.PROBE_KIND_ENTRY, values=[value]))
    printer.take(events(1, [string(65_536)], bytes(65_536)))
    with pytest.raises(MalformedStreamError, match=problem):
        printer.take(events(1, [string(size)], bytes(size)))


def test_an_endless_name_is_rejected(tmp_path: Path) -> None:
    name = "\x80" * _MIB
    with pytest.raises(MalformedStreamError, match="cannot be decoded: it has a name of 2,097,152 bytes"):
        Incoming().decode(schema(provider=name))
    answer = collector_pb2.GetStatusResponse(version=name).SerializeToString()
    with (
        server(tmp_path, lambda: iter([answer])) as address,
        Client(address) as client,
        pytest.raises(JcollectError, match="answer cannot be decoded: it has a name of 2,097,152 bytes"),
    ):
        client.status(seconds=30)


def test_a_probe_is_described_in_a_megabyte() -> None:
    names = [probe_pb2.Value(name="x" * 200_000) for _ in range(6)]
    Incoming().decode(schema(values=names[:5]))
    with pytest.raises(MalformedStreamError, match=r"the description of a probe has 1,200,\d\d\d bytes"):
        Incoming().decode(schema(values=names))


def test_long_names_of_many_events_are_not_kept_until_all_are_printed() -> None:
    out = _Out()
    printer = EncodedPrinter("json", out)
    printer.take(schema(class_name="x" * 200_000, kind=probe_pb2.PROBE_KIND_ENTRY))
    printer.take(events(30, []))
    assert printer.sink.events == 30
    assert sum(out.sizes) > 6_000_000
    assert max(out.sizes) < 2 * _MIB


@pytest.mark.parametrize(
    "numbers",
    [
        field(4, field(1, bytes(2 * _MIB))),
        field(4, field(2, bytes(_MIB)) + b"\x08\x01" * _MIB),
        # Tags in two bytes prevent decoding on a fast path.
        b"\x92\x00" + varint(2 * _MIB + 5) + field(7, bytes(2 * _MIB)),
    ],
    ids=["packed", "one by one", "of fixed size"],
)
def test_endless_numbers_are_not_decoded_into_objects(
    numbers: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jcollect.rpc.elements.MOST_ELEMENTS", 100_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MalformedStreamError, match="cannot be decoded: it has more than 100,000 elements"):
        Incoming().decode(numbers)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_numbers_are_counted_as_what_they_are() -> None:
    ids = list(range(500_000))
    # Three bytes each, and more than the maximum number of elements.
    assert Incoming().decode(response(throttling=collector_pb2.Throttling(began=ids, ended=ids)))


def test_no_more_probes_are_throttled_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcollect.rpc.incoming.MAX_COLLECTOR_PROBES", 10)
    with pytest.raises(MalformedStreamError, match="a notice has 11 probes"):
        Incoming().decode(response(throttling=collector_pb2.Throttling(ended=[1] * 11)))


def test_a_notice_names_a_few_of_many_probes() -> None:
    throttled = ThrottledProbes()
    throttled.describe(described(1000))
    (line,) = throttled.take(Throttling(began=range(1000)))
    assert "com_acme_Order0:place__entry, com_acme_Order100:" in line
    assert line.endswith(", and 980 more")
    assert len(line) < 1000
    throttled.describe([collector_pb2.Probe(id=1000, provider="x" * 100_000)])
    (line,) = throttled.take(Throttling(began=[1000]))
    assert len(line) < 300


def test_endless_notices_are_omitted_and_counted() -> None:
    now = 0.0
    shown: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jcollect.cli.notices.status", shown.append)
        patch.setattr("jcollect.cli.notices.warn", shown.append)
        notices = Notices(lambda: now)
        for number in range(1000):
            notices.show(str(number))
        assert shown == [str(number) for number in range(20)]
        now = 1.0
        notices.show("later")
    assert shown[20:] == ["980 notices of the collector left out: too many at a time", "later"]


@pytest.mark.parametrize("text", ["²", "127.0.0.1:²", "٣", "1" * 5000, "host:" + "1" * 5000])
def test_only_a_few_digits_are_a_number(text: str) -> None:
    with pytest.raises(JcollectError, match="is not an address: use a PID"):
        parse_address(text)
    with pytest.raises(JcollectError, match="is not an address: use a PID"):
        find_collector(text)


def test_only_ascii_digits_name_the_socket_of_a_process() -> None:
    assert pid_of(default_address(4711)) == 4711
    for name in ("²", "٣", "1" * 5000):
        assert pid_of(Address("", path=f"/run/jprobe/{name}.sock")) == 0

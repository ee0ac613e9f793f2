"""Structures that grow as probes appear: decoders, the hub's subscribers, the hit counts, the summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_formats import Event, compact_line, json_line, line_of, probe
from test_stream import METHODS, decoded, described

from jcollect.errors import JcollectError
from jcollect.hub.accounts import Accounts
from jcollect.hub.cursor import Cursor
from jcollect.hub.hub import Hub, NoSuchProbeError
from jcollect.hub.items import Loss, Schema
from jcollect.hub.wire import encode
from jcollect.layout.record import STRING_WORD_PRESENT as PRESENT
from jcollect.probes.probe import Probe, probes_of
from jcollect.probes.scan import NothingYetError, Scan, rescan
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.procfs.maps import MappingKey, parse_maps, read_maps
from jcollect.sources.columns import Columns
from jcollect.sources.records.decoder import RecordDecoder
from jcollect.view.formats import gate_text
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter
from jcollect.view.summary import Summary
from jprobe.v1 import collector_pb2, probe_pb2
from list_source import StillCounters
from processes import closed, ourselves
from received import Received, batches, received
from ring_image import RingImage, record
from stub_image import LONG, Method, StubImage, mark, own_image

MARK, UNSIGNED = probe_pb2.PROBE_KIND_MARK, probe_pb2.VALUE_TYPE_UNSIGNED
CAPACITY = 64


@pytest.fixture
def probes() -> list[Probe]:
    return probes_of([StubLibrary(closed(4711), "/x", 0, parse_stub_image(StubImage(METHODS).build()))])


@pytest.fixture
def later() -> list[Probe]:
    image = StubImage([Method("com.acme.Later", "come", (LONG,), LONG)], generation=2)
    return probes_of([StubLibrary(closed(4711), "/y", 0, parse_stub_image(image.build()))])


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(CAPACITY, [StillCounters(CAPACITY)])


def test_a_decoder_knows_a_probe_once_it_is_added(probes: list[Probe], later: list[Probe]) -> None:
    decoder = RecordDecoder(CAPACITY, 0)
    records = record(56, 1, [1834, 1, 9]), record(56, 9, [7, 8])
    with RingImage() as image:

        def drained() -> tuple[list[int], list[int]]:
            image.write(*records)
            found = decoder.drain(image.ring.memory)
            return found.batch.columns.probe.tolist(), found.malformed.tolist()

        assert drained() == ([], [1, 9])
        decoder.add(range(9), probes)
        assert drained() == ([1], [9])
        decoder.add(range(9, 12), later)
        assert drained() == ([1, 9], [])
        image.write(*records)
        columns = decoder.drain(image.ring.memory).batch.columns
    assert columns.seq.tolist() == [6, 7], "what made no sense has had a number as well"
    assert columns.values.tolist() == [1, 7]
    assert columns.thread.tolist() == [9, 8]


def test_a_record_with_an_unknown_probe_id_is_malformed(probes: list[Probe]) -> None:
    batch, malformed = decoded(probes, record(56, 2**32 - 1, [7, 8]))
    assert len(batch) == 0
    assert malformed.tolist() == [len(probes) - 1]


def ids_of(item: Received) -> list[int]:
    assert isinstance(item, Schema)
    return [probe.id for probe in item.probes]


def test_each_subscriber_has_new_probes_described_before_their_first_events(
    probes: list[Probe], later: list[Probe], accounts: Accounts
) -> None:
    hub = Hub(described(probes), accounts)
    everything, returns = hub.subscribe(()), hub.subscribe(["*__return"])
    of_place, every_class = hub.subscribe(["place"]), hub.subscribe(["com.acme.*"])
    first, _ = decoded(probes, record(56, 1, [1834, 1, 9]))
    hub.publish(first)
    hub.add(described(later, 9))
    second, _ = decoded([*probes, *later], record(56, 9, [7, 8]), record(56, 10, [5, 7, 8]), first_seq=1)
    hub.publish(second)
    late = hub.subscribe(())
    hub.end()
    for subscription in (everything, every_class):
        schema, before, more, after = received(subscription)
        assert (ids_of(schema), ids_of(more)) == (list(range(9)), [9, 10, 11])
        assert isinstance(before, Columns)
        assert isinstance(after, Columns)
        assert (before.probe.tolist(), after.probe.tolist()) == ([1], [9, 10])
        assert after.seq.tolist() == [1, 2]
    schema, before, more, after = received(returns)
    assert (ids_of(schema), ids_of(more)) == ([1, 4, 7], [10])
    assert isinstance(after, Columns)
    assert after.probe.tolist() == [10]
    schema, before = received(of_place)
    assert ids_of(schema) == [0, 1, 2]
    assert isinstance(before, Columns)
    (schema,) = received(late)
    assert ids_of(schema) == list(range(12))


def test_a_subscriber_whose_globs_match_all_existing_probes_does_not_get_all_later_ones(
    probes: list[Probe], later: list[Probe], accounts: Accounts
) -> None:
    hub = Hub(described(probes), accounts)
    orders = hub.subscribe(["com.acme.Orders"])
    assert orders.filter.wanted is None
    hub.add(described(later, 9))
    come, _ = decoded([*probes, *later], record(56, 9, [7, 8]))
    hub.publish(come)
    hub.end()
    (schema,) = received(orders)
    assert ids_of(schema) == list(range(9))


def test_probes_that_appear_between_scan_and_subscription_are_described(
    probes: list[Probe], later: list[Probe], accounts: Accounts
) -> None:
    hub = Hub(described(probes), accounts)
    looked = described(probes)
    hub.add(described(later, 9))
    subscription = hub.subscribe((), looked)
    hub.end()
    (schema,) = received(subscription)
    assert ids_of(schema) == list(range(12))


def test_a_stream_without_probes_begins_with_an_empty_schema(later: list[Probe], accounts: Accounts) -> None:
    hub = Hub([], accounts)
    subscription = hub.subscribe(())
    with pytest.raises(NoSuchProbeError):
        hub.subscribe(["come"])
    hub.add(described(later))
    hub.end()
    first, second = received(subscription)
    assert (ids_of(first), ids_of(second)) == ([], [0, 1, 2])


def test_a_full_queue_loses_events_but_no_schema(
    probes: list[Probe], later: list[Probe], accounts: Accounts
) -> None:
    batch, _ = decoded(probes, record(56, 1, [1834, 1, 9]))
    hub = Hub(described(probes), accounts, queue_bytes=len(encode(batch.columns, Cursor(0, 0, 0))))
    subscription = hub.subscribe(())
    hub.publish(batch)
    hub.publish(batch)
    hub.add(described(later, 9))
    hub.end()
    items = received(subscription)
    schemas = [item for item in items if isinstance(item, Schema)]
    assert [ids_of(schema) for schema in schemas] == [list(range(9)), [9, 10, 11]]
    assert sum(map(len, batches(items))) == 1
    last = items[-1]
    assert isinstance(last, Loss)
    assert last.events == 1


def test_rows_of_later_probes_are_read_by_the_later_schema() -> None:
    formatter = LineFormatter(line_format("json"))
    formatter.add([probe(1, 5)])
    formatter.add([probe(2, 1, number=7)])
    one = np.ones(1, np.uint64)
    columns = Columns(one, one, np.array([7], np.uint32), one.astype(np.uint32), one, one, one, b"")
    ((line,),) = formatter.lines(columns)
    assert '"kind":"return","duration_ns":1,"start_unix_nanos":0,"value":true,' in line
    # The ID is reassigned.
    formatter.add([probe(1, 5, number=7)])
    ((line,),) = formatter.lines(columns)
    assert '"kind":"entry","args":[1],' in line


def mark_message(*types: int, number: int = 0) -> collector_pb2.Probe:
    message = probe(1, *types, number=number)
    message.kind = MARK
    message.provider, message.name = "orders", "placed"
    message.class_name, message.method, message.method_descriptor = "orders", "placed", ""
    return message


def columns_of(ids: list[int], durations: list[int]) -> Columns:
    zeros = np.zeros(len(ids), np.uint64)
    return Columns(
        zeros, zeros, np.array(ids, np.uint32), zeros.astype(np.uint32), zeros,
        np.array(durations, np.uint64), zeros, b"",
    )  # fmt: skip


def test_a_summary_includes_later_probes_and_methods() -> None:
    summary = Summary([probe(1), probe(2, number=1)])
    summary.add(columns_of([0, 1], [0, 20]))
    other = probe(2, number=3)
    other.method, other.method_descriptor = "other", "()V"
    summary.describe([probe(3, 9, number=2), other, mark_message(number=4)])
    summary.add(columns_of([0, 2, 3, 4, 4, 4], [0, 10, 30, 0, 0, 0]))
    found = {method.name: method for method in summary.methods()}
    place = found["com.acme.Orders#place"]
    assert (place.calls, place.errors, place.p50, place.total) == (2, 1, 10, 30)
    assert (found["com.acme.Orders#other"].calls, found["com.acme.Orders#other"].total) == (1, 30)
    marked = found["orders:placed"]
    assert (marked.calls, marked.errors, marked.p50, marked.total) == (3, 0, None, None)
    assert summary.events == 8
    summary.clear()
    assert summary.methods() == []
    summary.add(columns_of([4], [0]))
    assert [method.name for method in summary.methods()] == ["orders:placed"]


def test_a_mark_is_printed_by_its_own_name() -> None:
    one = np.ones(1, np.uint64)
    words = np.array([42, 2**64 - 1, 1 | PRESENT], np.uint64)
    columns = Columns(one, one, np.zeros(1, np.uint32), one.astype(np.uint32), one, one, words, b"x")
    event = Event(mark_message(5, UNSIGNED, 9), columns)
    assert compact_line(event).endswith(' 1/1 orders:placed (42, 18446744073709551615, "x")')
    assert '"kind":"mark","args":[42,18446744073709551615,"x"],"seq":1}' in json_line(event)
    quoted = line_of(event, "json", quotes_64_bits=True)
    assert '"thread":"1",' in quoted
    assert quoted.endswith('"args":["42","18446744073709551615","x"],"seq":"1"}')


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        ((0, 0, 0), ""),
        ((0, 1, 0), ""),
        ((20_000_001, 0, 0), "duration > 20ms"),
        ((20_000_000, 0, 0), "duration >= 20ms"),
        ((1_500_001, 0, 0), "duration > 1500us"),
        ((1, 0, 0), "duration >= 1ns"),
        ((1_000_000_001, 100, 20), "duration > 1s every 100 at most 20/s"),
        ((1_234_567, 0, 0), "duration >= 1234567ns"),
        ((0, 0, 5), "at most 5/s"),
    ],
)
def test_a_gate_is_printed_in_selector_syntax(gate: tuple[int, int, int], text: str) -> None:
    assert gate_text(*gate) == text


def own_library() -> StubLibrary:
    return StubLibrary(
        closed(4711), "/own", 0, parse_stub_image(own_image(mark("orders", "placed", LONG)).build())
    )


def agents_library(generation: int, refusal: str = "") -> StubLibrary:
    methods = [] if refusal else METHODS
    image = StubImage(methods, generation=generation, refusal=refusal)
    return StubLibrary(closed(4711), "/x", 0, parse_stub_image(image.build()))


def test_a_mark_passes_its_values_and_a_thread_id() -> None:
    (only,) = probes_of([own_library()])
    assert (only.provider, only.name, only.class_name, only.method) == (
        "orders",
        "placed",
        "orders",
        "placed",
    )
    assert (only.site.words, only.first_value, only.method_descriptor) == (2, 0, "")


def test_a_refusal_by_the_agent_concerns_only_its_own_probes() -> None:
    refused = (agents_library(1), agents_library(2, "too many"))
    with pytest.raises(JcollectError, match="PID 4711 traces nothing: too many"):
        Scan(closed(4711), refused).probes(())
    probes = Scan(closed(4711), (*refused, own_library())).probes(())
    assert [probe.name for probe in probes] == ["placed"]
    assert Scan(closed(4711), (agents_library(1), own_library())).refusal == ""
    none = StubLibrary(closed(4711), "/own", 0, parse_stub_image(own_image().build()))
    with pytest.raises(NothingYetError, match="stub libraries of its own without probes"):
        Scan(closed(4711), (none,)).probes(())


def test_lines_of_the_map_are_picked_by_bytes_before_they_are_parsed() -> None:
    whole = list(parse_maps(Path("/proc/self/maps").read_text()))
    libc = [mapping for mapping in whole if "libc.so" in mapping.path]
    assert libc
    assert read_maps(ourselves(), b"libc.so") == libc
    assert read_maps(ourselves(), b"no such thing") == []
    # The first and the last line are found like all others.
    first = whole[0].path.encode()
    assert [m for m in read_maps(ourselves(), first) if m == whole[0]]


def test_mappings_at_the_same_address_are_distinguished_by_path() -> None:
    line = "7f0000000000-7f0000001000 r-xp 00000000 08:02 42  /tmp/jprobe-1/{}.so\n"
    one, other = parse_maps(line.format(1) + line.format(2))
    assert one.key == MappingKey((8, 2, 42), 0x7F0000000000, "/tmp/jprobe-1/1.so")
    assert one.key != other.key


def test_an_exited_process_has_size_zero() -> None:
    assert ourselves().mapped_pages() > 0
    assert closed(4_000_000).mapped_pages() == 0
    with pytest.raises(OSError, match="No such process"):
        rescan(Scan(closed(4_000_000)), pytest.fail)

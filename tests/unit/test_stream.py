"""Converts bytes of the ring buffer to columns and to messages; compares with protobuf and with plain
loops."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from jcollect.hub.accounts import Accounts, Totals
from jcollect.hub.cursor import Cursor
from jcollect.hub.hub import Hub, NoSuchProbeError
from jcollect.hub.items import Loss, LossStage, Schema, Throttling
from jcollect.hub.subscription import DiscardedError, Subscription
from jcollect.hub.wire import columns_of, decode_batch, encode
from jcollect.probes.description import ProbeDescription
from jcollect.probes.live import LiveProbe
from jcollect.probes.probe import Probe, probes_of
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.sources.columns import U32, Batch, Columns, joined, merged
from jcollect.sources.explanation import COLUMNS, CPU, NAMED, PAUSES, Explanation, joined_explanations
from jcollect.sources.records.decoder import RecordDecoder
from jprobe.v1 import collector_pb2
from list_source import StillCounters
from processes import closed
from received import batches, received
from ring_image import TIME, RingImage, record, string
from rows import RowDecoder, Truncated
from stub_image import BOOLEAN, INT, LONG, STRING, Method, StubImage

METHODS = [
    Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN),
    Method("com.acme.Orders", "note", (STRING, INT, STRING, LONG, LONG, LONG), STRING),
    Method("com.acme.Orders", "close", (), None),
]


@pytest.fixture
def probes() -> list[Probe]:
    image = parse_stub_image(StubImage(METHODS).build())
    return probes_of([StubLibrary(closed(4711), "/x", 0, image)])


def described(probes: list[Probe], first: int = 0) -> list[ProbeDescription]:
    return [LiveProbe(probe, 1, 3, id=first + number).describe() for number, probe in enumerate(probes)]


PLACED = record(248, 0, [5, string(3), 9], b"abc")
RETURNED = record(56, 1, [1834, 1, 9])


def decoded(probes: list[Probe], *records: bytes, first_seq: int = 0) -> tuple[Batch, U32]:
    """Returns the events, numbered from `first_seq`, and the probe IDs of malformed records."""
    decoder = RecordDecoder(len(probes), 10**18)
    decoder.add(range(len(probes)), probes)
    with RingImage(*records) as image:
        drained = decoder.drain(image.ring.memory)
    columns = drained.batch.columns
    numbered = replace(columns, seq=columns.seq + np.uint64(first_seq))
    return replace(drained.batch, columns=numbered), drained.malformed


def test_records_of_every_kind_become_columns(probes: list[Probe]) -> None:
    noted = record(504, 3, [string(4), 7, 0, 1, 2, 3, 11], b"\xc5\xbcyz")
    thrown = record(248, 2, [50, string(3), 9], b"E.x")
    closed = record(56, 7, [60, 0, 12])
    opened = record(56, 6, [12])
    batch, malformed = decoded(probes, PLACED, RETURNED, thrown, noted, closed, opened, first_seq=40)
    columns = batch.columns
    assert not len(malformed)
    assert columns.seq.tolist() == [40, 41, 42, 43, 44, 45]
    assert columns.probe.tolist() == [0, 1, 2, 3, 7, 6]
    assert columns.tid.tolist() == [77] * 6
    assert columns.thread.tolist() == [9, 9, 9, 11, 12, 12]
    assert columns.duration_nanos.tolist() == [0, 1834, 50, 0, 60, 0]
    assert columns.time_unix_nanos.tolist() == [10**18 + TIME] * 6
    assert columns.values.tolist() == [5, string(3), 1, string(3), string(4), 7, 0, 1, 2, 3]
    assert columns.text == b"abc" + b"E.x" + b"\xc5\xbcyz"
    rows = list(RowDecoder(described(probes)).rows(columns))
    assert [row.values for row in rows] == [
        (5, "abc"),
        (True,),
        ("E.x",),
        ("żyz", 7, None, 1, 2, 3),
        (),
        (),
    ]


def test_a_nul_arrives_as_two_bytes_and_is_decoded_to_one(probes: list[Probe]) -> None:
    before = record(248, 0, [5, string(3), 9], b"abc")
    placed = record(248, 0, [6, string(5, cut=True), 9], b"\xc0\x80a\xc0\x80")
    noted = record(504, 3, [0, 7, string(4), 1, 2, 3, 11], b"\xc0\x80bc")
    back = record(248, 4, [50, string(4), 11], b"\xc0\x80" * 2)
    batch, malformed = decoded(probes, before, RETURNED, placed, noted, back)
    assert not len(malformed)
    assert batch.columns.text == b"abc" + b"\0a\0" + b"\0bc" + b"\0\0"
    rows = list(RowDecoder(described(probes)).rows(batch.columns))
    assert [row.values for row in rows] == [
        (5, "abc"),
        (True,),
        (6, Truncated("\0a\0")),
        (None, 7, "\0bc", 1, 2, 3),
        ("\0\0",),
    ]
    picked = batch.pick(np.array([False, False, False, True, True])).columns
    assert picked.text == b"\0bc" + b"\0\0"


def test_the_end_of_one_text_and_the_start_of_the_next_are_no_nul(probes: list[Probe]) -> None:
    noted = record(504, 3, [string(2), 7, string(2), 1, 2, 3, 11], b"a\xc0" + b"\x80b")
    batch, _ = decoded(probes, noted)
    assert batch.columns.text == b"a\xc0\x80b"
    assert batch.columns.values.tolist() == [string(2), 7, string(2), 1, 2, 3]


def test_malformed_records_are_counted_by_probe(probes: list[Probe]) -> None:
    bad_words = record(56, 1, [1, 2])
    bad_flags = record(56, 1, [1, 2, 3], flags=0x80)
    batch, malformed = decoded(probes, RETURNED, bad_words, PLACED, bad_flags)
    assert batch.columns.probe.tolist() == [1, 0]
    assert malformed.tolist() == [1, 1]


def test_picking_events_takes_their_values_and_texts_along(probes: list[Probe]) -> None:
    other = record(248, 0, [6, string(5), 9], b"other")
    batch, _ = decoded(probes, PLACED, RETURNED, other)
    part = batch.pick(np.array([False, True, True]))
    assert part.columns.seq.tolist() == [1, 2]
    assert part.columns.values.tolist() == [1, 6, string(5)]
    assert part.columns.text == b"other"
    assert batch.pick(np.array([True, True, True])) is batch


def some_columns(count: int) -> Columns:
    dice = np.random.default_rng(1)

    def u64(size: int) -> np.ndarray:
        return dice.integers(0, 2**64, size, np.uint64, endpoint=False)

    return Columns(
        seq=u64(count),
        time_unix_nanos=u64(count),
        probe=dice.integers(0, 2**32, count, np.uint32, endpoint=False),
        tid=dice.integers(0, 2**32, count, np.uint32, endpoint=False),
        thread=u64(count),
        duration_nanos=u64(count),
        values=u64(3 * count),
        text=dice.bytes(5 * count),
        start_unix_nanos=u64(count),
        explanation=some_explanation(dice, count),
    )


def some_explanation(dice: np.random.Generator, count: int) -> Explanation | None:
    """Returns an explanation of all parts, or of two."""
    if not count:
        return None
    parts = COLUMNS if count % 2 else {**CPU, **PAUSES}
    columns = {
        name: dice.integers(0, 3, count, of_type)
        if name in NAMED
        else dice.integers(0, np.iinfo(of_type).max, count, of_type)
        for name, of_type in parts.items()
    }
    return Explanation(dice.integers(0, 32, count, np.uint32), columns, ("futex", "Ż pause"))


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 4096])
def test_encoded_columns_are_what_protobuf_reads_and_writes(count: int) -> None:
    columns = some_columns(count)
    message = encode(columns)
    batch = collector_pb2.SubscribeResponse.FromString(message).batch
    for name in ("seq", "time_unix_nanos", "probe", "tid", "thread", "duration_nanos", "values"):
        assert list(getattr(batch, name)) == getattr(columns, name).tolist()
    assert batch.text == columns.text
    assert list(batch.start_unix_nanos) == columns.start_unix_nanos.tolist()
    assert batch.HasField("explanation") == (count > 0)
    if columns.explanation is not None:
        sent = batch.explanation
        assert list(sent.known) == columns.explanation.known.tolist()
        assert list(sent.names) == ["futex", "Ż pause"]
        for name in COLUMNS:
            expected = columns.explanation.columns.get(name, np.zeros(0))
            assert list(getattr(sent, name)) == expected.tolist()
    assert collector_pb2.SubscribeResponse(batch=batch).SerializeToString(deterministic=True) == message
    again = decode_batch(message)
    assert again is not None
    for found in (again, columns_of(batch)):
        assert found.values.tolist() == columns.values.tolist()
        assert found.text == columns.text
        assert found.start_unix_nanos.tolist() == columns.start_unix_nanos.tolist()
        assert_same_explanation(found.explanation, columns.explanation)


def assert_same_explanation(found: Explanation | None, expected: Explanation | None) -> None:
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert tuple(found.names) == tuple(expected.names)
    assert found.known.tolist() == expected.known.tolist()
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        name: column.tolist() for name, column in expected.columns.items()
    }


def test_events_keep_their_explanations_wherever_they_go() -> None:
    columns = some_columns(9)
    counts, sizes = np.full(9, 3, np.uint32), np.full(9, 5, np.uint32)
    batch = Batch(columns, counts, sizes)
    wanted = np.array([True, False, True] * 3)
    first, second = batch.halves()
    other = Batch(some_columns(4), counts[:4], sizes[:4])
    without = Batch(
        replace(other.columns, explanation=None, start_unix_nanos=np.zeros(0, np.uint64)),
        other.value_counts,
        other.text_sizes,
    )
    assert columns.explanation is not None
    assert other.columns.explanation is not None
    assert_same_explanation(batch.pick(wanted).columns.explanation, columns.explanation.at(wanted))
    assert_same_explanation(joined([first, second]).columns.explanation, columns.explanation)
    everything = joined([without, batch, other])
    explanation = everything.columns.explanation
    assert explanation is not None
    assert explanation.known.tolist() == [
        *[0] * 4,
        *columns.explanation.known.tolist(),
        *other.columns.explanation.known.tolist(),
    ]
    assert everything.columns.start_unix_nanos.tolist() == [
        *[0] * 4,
        *columns.start_unix_nanos.tolist(),
        *other.columns.start_unix_nanos.tolist(),
    ]
    # A part that one of the batches lacks is 0 there.
    assert explanation.columns["faults"].tolist() == [
        *[0] * 4,
        *columns.explanation.columns["faults"].tolist(),
        *[0] * 4,
    ]
    in_order = merged([batch, without])
    order = np.argsort([*columns.time_unix_nanos, *without.columns.time_unix_nanos], kind="stable")
    both = joined([batch, without]).columns.explanation
    assert both is not None
    assert_same_explanation(in_order.columns.explanation, both.at(order))
    assert batch.size == sum(batch.sizes) == 9 * (48 + 4 + 24 + 5 + 8 * 7 + 4 * 6)


def test_names_of_joined_explanations_are_renumbered() -> None:
    def named(top: list[int], names: tuple[str, ...]) -> Explanation:
        return Explanation(np.full(len(top), 8, np.uint32), {"top_syscall": np.array(top, np.uint32)}, names)

    joint = joined_explanations(
        [named([1, 0, 2], ("futex", "read")), None, named([1, 2], ("read", "poll"))], [3, 1, 2]
    )
    assert joint is not None
    assert [([None, *joint.names])[number] for number in joint.columns["top_syscall"].tolist()] == [
        "futex",
        None,
        "read",
        None,
        "read",
        "poll",
    ]


def test_batches_of_encoders_that_do_not_pack_are_read_as_well() -> None:
    # seq as two single fixed64 fields, tag 1 << 3 | 1.
    body = b"\x09" + struct.pack("<Q", 5) + b"\x09" + struct.pack("<Q", 6)
    message = b"\x12" + bytes([len(body)]) + body
    assert decode_batch(message) is None
    assert columns_of(collector_pb2.SubscribeResponse.FromString(message).batch).seq.tolist() == [5, 6]


def accounts_of(probes: list[Probe], ring_lost: list[int] | None = None) -> Accounts:
    return Accounts(len(probes), [StillCounters(len(probes), ring=ring_lost or [0] * len(probes))])


def test_suppressed_calls_of_the_process_count_as_filtered_or_throttled_hits() -> None:
    accounts = Accounts(2, [StillCounters(2, hits=[30, 10], ring=[1, 0])])
    accounts.deliver(np.repeat(np.array([0, 1], np.uint32), [30, 5]))
    accounts.filter(np.full(4, 1, np.uint32))
    accounts.suppress(np.array([0, 1]), np.array([[100, 3, 50], [7, 0, 0]], np.uint64))
    accounts.suppress(np.array([0]), np.array([[101, 4, 60]], np.uint64))
    totals = accounts.totals()
    assert (totals.hits, totals.delivered, totals.filtered, totals.lost) == (152, 35, 112, 1)
    assert (totals.throttled, totals.throttled_ns) == (4, 60)
    assert totals.missing == 0


def test_a_reassigned_id_has_separate_hit_counts_and_the_totals_continue() -> None:
    source = StillCounters(2, hits=[9, 50], ring=[2, 0])
    accounts = Accounts(2, [source])
    accounts.deliver(np.repeat(np.array([0, 1], np.uint32), [3, 50]))
    source.collector[0] += 4
    accounts.suppress(np.array([0]), np.array([[10, 20, 30]], np.uint64))
    assert accounts.totals() == Totals(89, 53, 10, 2, 4, 20, 30)
    accounts.release(np.array([0]))
    assert accounts.totals() == Totals(89, 53, 10, 2, 4, 20, 30)
    assert accounts.hit_counts().totals(np.array([0])) == Totals(0, 0, 0, 0, 0, 0, 0)
    source.hits_[0] += 1
    source.collector[0] += 1
    accounts.suppress(np.array([0]), np.array([[1, 2, 3]], np.uint64))
    assert accounts.hit_counts().totals(np.array([0])) == Totals(4, 0, 1, 0, 1, 2, 3)
    assert accounts.totals() == Totals(93, 53, 11, 2, 5, 22, 33)
    assert accounts.totals().missing == 0


def test_a_subscriber_gets_schema_batches_and_its_part_of_them(probes: list[Probe]) -> None:
    hub = Hub(described(probes), accounts_of(probes))
    everything, returns = hub.subscribe(()), hub.subscribe(["*__return"])
    batch, _ = decoded(probes, PLACED, RETURNED, RETURNED)
    hub.publish(batch)
    hub.end()
    schema, first = received(everything)
    assert isinstance(schema, Schema)
    assert [probe.id for probe in schema.probes] == list(range(9))
    assert isinstance(first, Columns)
    assert len(first) == 3
    schema, first = received(returns)
    assert isinstance(schema, Schema)
    assert [probe.id for probe in schema.probes] == [1, 4, 7]
    assert isinstance(first, Columns)
    assert first.seq.tolist() == [1, 2]


def test_subscribers_with_one_filter_share_one_encoding(probes: list[Probe]) -> None:
    hub = Hub(described(probes), accounts_of(probes))
    subscribers = [hub.subscribe(["*__return"]) for _ in range(3)]
    batch, _ = decoded(probes, PLACED, RETURNED)
    hub.publish(batch)
    hub.end()
    first, second, third = [list(each.items())[1] for each in subscribers]
    assert first is second is third


def test_globs_that_match_nothing_are_an_error(probes: list[Probe]) -> None:
    with pytest.raises(NoSuchProbeError):
        Hub(described(probes), accounts_of(probes)).subscribe(["nothing"])


def test_a_slow_subscriber_loses_events_and_gets_the_number_per_probe(probes: list[Probe]) -> None:
    batch, _ = decoded(probes, PLACED, RETURNED, RETURNED)
    size = len(encode(batch.columns, Cursor(0, 0, 0)))
    hub = Hub(described(probes), accounts_of(probes), queue_bytes=2 * size)
    subscriber = hub.subscribe(())
    for _ in range(7):
        hub.publish(batch)
    hub.end()
    items = received(subscriber)
    losses = [item for item in items if isinstance(item, Loss)]
    assert sum(map(len, batches(items))) == 2 * 3
    assert losses[-1].stage == LossStage.SUBSCRIBER
    assert losses[-1].events == 5 * 3 == hub.lost()
    assert losses[-1].by_probe == {0: 5, 1: 10}


def test_loss_in_the_ring_counts_from_the_subscription_and_for_its_probes(probes: list[Probe]) -> None:
    lost = [3, 3, 0, 0, 0, 0, 0, 0, 0]
    hub = Hub(described(probes), accounts_of(probes, lost))
    subscriber = hub.subscribe(["*__return"])
    lost[0] += 100
    lost[1] += 13
    hub.end()
    assert received(subscriber)[-1] == Loss(LossStage.KERNEL_RING, 13, {1: 13})


def test_losses_of_retired_probes_are_reported_and_not_for_probes_with_their_reassigned_ids(
    probes: list[Probe],
) -> None:
    source = StillCounters(len(probes), hits=[1_000] * len(probes))
    accounts = Accounts(len(probes), [source])
    messages = described(probes)
    hub = Hub(messages, accounts)
    everything, returns = hub.subscribe(()), hub.subscribe(["*__return"])
    retired = np.array([0, 1])
    for number, (ring, collector) in enumerate([(100, 200), (13, 17)]):
        source.ring[number] += ring
        source.collector[number] += collector
    accounts.suppress(retired, np.array([[0, 300, 5], [0, 19, 5]], np.uint64))
    hub.remove(retired.tolist())
    accounts.release(retired)
    hub.add(messages[:2])
    source.collector[1] += 7
    accounts.suppress(retired, np.array([[0, 1, 5], [0, 2, 5]], np.uint64))
    hub.end()

    def losses_of(subscriber: Subscription) -> tuple[list[tuple[int, dict[int, int]]], int]:
        items = received(subscriber)
        last = {item.stage: item for item in items if isinstance(item, Loss)}
        assert isinstance(items[-1], Throttling)
        return [(loss.events, dict(loss.by_probe)) for loss in last.values()], items[-1].throttled

    assert losses_of(everything) == ([(113, {}), (224, {1: 7})], 322)
    assert losses_of(returns) == ([(13, {}), (24, {1: 7})], 21)


# Probes that are added later.


def test_records_of_probes_that_came_later_are_decoded_like_the_others(probes: list[Probe]) -> None:
    decoder = RecordDecoder(len(probes), 0)
    decoder.add([0], probes[:1])
    with RingImage(PLACED, RETURNED) as image:
        drained = decoder.drain(image.ring.memory)
        assert drained.batch.columns.probe.tolist() == [0]
        assert drained.malformed.tolist() == [1], "of an unknown probe"
        decoder.add(range(1, len(probes)), probes[1:])
        image.write(PLACED, RETURNED)
        drained = decoder.drain(image.ring.memory)
    assert drained.batch.columns.probe.tolist() == [0, 1]
    assert drained.batch.columns.values.tolist() == [5, string(3), 1]
    assert not len(drained.malformed)


def test_subscribers_get_the_schema_of_their_probes_before_the_first_batch(probes: list[Probe]) -> None:
    hub = Hub([], accounts_of(probes))
    messages = described(probes)
    hub.add(messages[:1])
    everything, nothing_new = hub.subscribe(()), hub.subscribe(("*place__entry",))
    batch, _ = decoded(probes, PLACED, RETURNED)
    hub.add(messages[1:])
    hub.publish(batch)
    hub.end()

    def kinds(subscription: Subscription) -> list[list[int]]:
        """Returns the IDs that each message describes or refers to."""
        found = []
        for item in received(subscription):
            if isinstance(item, Columns):
                found.append([-1, *item.probe.tolist()])
            else:
                assert isinstance(item, Schema)
                found.append([probe.id for probe in item.probes])
        return found

    later = [probe.id for probe in messages[1:]]
    assert kinds(everything) == [[0], later, [-1, 0, 1]]
    assert kinds(nothing_new) == [[0], [-1, 0]]


def test_unread_events_of_a_subscriber_that_is_ended_count_as_lost(probes: list[Probe]) -> None:
    hub = Hub(described(probes), accounts_of(probes))
    subscription, other = hub.subscribe(()), hub.subscribe(())
    batch, _ = decoded(probes, PLACED, RETURNED, RETURNED)
    for _ in range(3):
        hub.publish(batch)
    items = subscription.items()
    for _ in range(3):
        next(items)  # The schema, and two batches: one has been delivered, and one is being read.
    served = hub.subscribers()[0]
    assert (served.events, served.delivered, served.queued, served.lost) == (9, 3, 6, 0)
    hub.end()
    assert len(received(other)) == 4
    assert hub.discard_unread() == 1
    assert (subscription.was_discarded, other.was_discarded) == (True, False)
    served = hub.subscribers()[0]
    assert (served.events, served.delivered, served.queued, served.lost) == (9, 3, 0, 6)
    assert hub.lost() == 6
    with pytest.raises(DiscardedError):
        next(items)

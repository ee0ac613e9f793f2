"""The history of a hub: where streams begin, cursors, and exactly how much a client has missed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from event_batches import Event, batch, probe, value
from jcollect.hub.accounts import Accounts
from jcollect.hub.cursor import Cursor, EpochError, FutureError, Last, OnOverflow, Since
from jcollect.hub.hub import Hub, NoSuchProbeError
from jcollect.hub.items import EncodedEvents, History, Item, Loss, LossStage, Position, Schema, Skipped
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import OverflowedError, Subscription
from list_source import StillCounters

PLACE, CANCEL, FIND = (
    probe(n, value("id", "int"), method=name) for n, name in enumerate(("place", "cancel", "find"))
)


class Published:
    """A hub, and every event that was published, as (number, probe, id, time)."""

    def __init__(self, history_bytes: int = 1 << 20, queue_bytes: int = 1 << 20) -> None:
        self.hub = Hub(
            [PLACE, CANCEL, FIND],
            Accounts(64, [StillCounters(64)]),
            queue_bytes=queue_bytes,
            history_bytes=history_bytes,
        )
        self.events: list[tuple[int, int, int]] = []
        self.seq = 0

    def publish(self, *probes: int, time: int = 0, lost: int = 0) -> None:
        """Publishes a batch with an event of each of these probes; `lost` numbers are skipped after it."""
        described = (PLACE, CANCEL, FIND)
        events = [Event(described[number], (self.seq + at,), time=time) for at, number in enumerate(probes)]
        self.hub.publish(batch(events, self.seq))
        self.events += [(self.seq + at, number, time) for at, number in enumerate(probes)]
        self.seq += len(probes) + lost


def begin(options: StreamOptions, hub: Hub, globs: Sequence[str] = ()) -> Subscription:
    return hub.subscribe(globs, options=options)


def taken(subscription: Subscription, until: int | None = None) -> list[Item]:
    """Returns the items of a stream up to the end, or until there are this many events."""
    items: list[Item] = []
    found = 0
    for item in subscription.items():
        items.append(item)
        found += len(item) if isinstance(item, EncodedEvents) else 0
        if until is not None and found >= until:
            break
    return items


def seqs(items: Sequence[Item]) -> list[int]:
    return [seq for item in items if isinstance(item, EncodedEvents) for seq in item.columns.seq.tolist()]


def lost_in_history(items: Sequence[Item]) -> int:
    found = [item.events for item in items if isinstance(item, Loss) and item.stage == LossStage.HISTORY]
    return found[-1] if found else 0


def test_a_stream_of_history_begins_with_schema_and_notice_and_ends() -> None:
    published = Published()
    published.publish(0, 1, 0, time=5)
    published.publish(2, time=6)
    stream = begin(StreamOptions(only_history=True), published.hub)
    published.publish(0)
    items = taken(stream)
    assert isinstance(items[0], Schema)
    assert items[1] == History(5, 0, False)
    assert seqs(items) == [0, 1, 2, 3]
    assert stream.cursor == Cursor(published.hub.epoch, 4, 4)


def test_the_last_events_are_those_that_match() -> None:
    published = Published()
    for number in range(100):
        published.publish(number % 3, 0, 1)
    hub = published.hub
    cancelled = [seq for seq, number, _ in published.events if number == 1]
    for last in (0, 1, 2, 17, len(cancelled), 1000):
        items = taken(begin(StreamOptions(begin=Last(last), only_history=True), hub, ["*#cancel"]))
        assert seqs(items) == (cancelled[-last:] if last else [])
    options = StreamOptions(begin=Last(5), only_history=True, where="id < 50")
    assert seqs(taken(begin(options, hub, ["*#cancel"]))) == [seq for seq in cancelled if seq < 50][-5:]


def test_events_after_the_end_of_the_history_are_none_of_the_last() -> None:
    published = Published()
    published.publish(0, 0, 0, 0)
    stream = begin(StreamOptions(begin=Last(3), only_history=True), published.hub)
    published.publish(0, 0, 0, 0, 0)
    assert seqs(taken(stream)) == [1, 2, 3]


def test_a_stream_begins_at_a_time() -> None:
    published = Published()
    for number in range(50):
        published.publish(0, 1, time=1000 + number)
    for since in (0, 1000, 1001, 1025, 1049, 1050):
        items = taken(begin(StreamOptions(begin=Since(since), only_history=True), published.hub))
        assert seqs(items) == [seq for seq, _, time in published.events if time >= since]


def test_history_goes_over_into_the_present_without_a_gap() -> None:
    published = Published()
    published.publish(0, 1, lost=3)
    stream = begin(StreamOptions(begin=Last(10)), published.hub)
    published.publish(2, 0)
    reading = stream.items()
    found: list[int] = []
    for _ in range(3):
        published.publish(0, 0)
        item = next(reading)
        found += seqs([item])
    while len(found) < len(published.events):
        found += seqs([next(reading)])
    published.publish(1)
    published.hub.end()
    for item in reading:
        found += seqs([item])
    assert found == [seq for seq, _, _ in published.events]


@pytest.mark.parametrize("globs", [(), ("*#place", "*#find")])
def test_a_client_that_comes_back_gets_everything_once(globs: Sequence[str]) -> None:
    random_ = random.Random(4711)
    published = Published()
    wanted = [0, 1, 2] if not globs else [0, 2]
    stream = begin(StreamOptions(), published.hub, globs)
    found: list[int] = []
    for _ in range(60):
        for _ in range(random_.randrange(4)):
            published.publish(
                *random_.choices(range(3), k=random_.randrange(1, 9)), lost=random_.randrange(2)
            )
        reading = stream.items()
        for _ in range(random_.randrange(1, 4)):
            if published.events and stream.cursor.seq > published.events[-1][0]:
                break
            found += seqs([next(reading)])
        cursor = stream.cursor
        published.hub.leave(stream)
        stream = begin(StreamOptions(begin=cursor), published.hub, globs)
    published.hub.end()
    items = taken(stream)
    assert found + seqs(items) == [seq for seq, number, _ in published.events if number in wanted]
    assert lost_in_history(items) == 0


@pytest.mark.parametrize("globs", [(), ("*#place",), ("*#place", "*#cancel")])
def test_what_a_client_has_missed_is_counted_exactly(globs: Sequence[str]) -> None:
    random_ = random.Random(4711)
    published = Published(history_bytes=12_000)
    wanted = {"*#place": 0, "*#cancel": 1}
    numbers = {wanted[glob] for glob in globs} or {0, 1, 2}
    published.publish(0, 1, 2, 0)
    stream = begin(StreamOptions(), published.hub, globs)
    published.publish(0, 1, 1, 2)
    (*_, last) = taken(stream, until=1)
    assert isinstance(last, EncodedEvents)
    cursor = stream.cursor
    published.hub.leave(stream)
    for _ in range(400):
        published.publish(*random_.choices(range(3), k=random_.randrange(1, 30)), lost=random_.randrange(3))
    items = taken(begin(StreamOptions(begin=cursor, only_history=True), published.hub, globs))
    notice = next(item for item in items if isinstance(item, History))
    got = seqs(items)
    due = [seq for seq, number, _ in published.events if number in numbers and seq >= cursor.seq]
    assert 0 < len(got) < len(due)
    assert got == due[-len(got) :]
    assert notice.missed == lost_in_history(items) == len(due) - len(got)
    assert not notice.missed_is_bound


def test_without_a_history_everything_missed_is_counted() -> None:
    published = Published(history_bytes=0)
    published.publish(0, 1)
    stream = begin(StreamOptions(), published.hub, ["*#place"])
    published.publish(0, 1, 0)
    taken(stream, until=1)
    cursor = stream.cursor
    published.publish(0, 2)
    published.publish(0)
    items = taken(begin(StreamOptions(begin=cursor, only_history=True), published.hub, ["*#place"]))
    assert seqs(items) == []
    assert lost_in_history(items) == 2


def test_events_that_leave_while_the_history_is_read_are_counted() -> None:
    published = Published(history_bytes=40_000)
    for _ in range(10):
        published.publish(*[0] * 100)
    stream = begin(StreamOptions(begin=Last(100_000)), published.hub, ["*#place"])
    reading = stream.items()
    found = [next(reading) for _ in range(3)]
    for _ in range(50):
        published.publish(*[0, 1] * 50)
    published.hub.end()
    found += list(reading)
    placed = [seq for seq, number, _ in published.events if number == 0]
    got = seqs(found)
    begun = placed[placed.index(got[0]) :]
    assert got[-1] == placed[-1]
    assert lost_in_history(found) == len(begun) - len(got) > 0
    counts = stream.counts()
    assert counts.events == counts.delivered + counts.lost + counts.queued


def test_a_cursor_of_another_run_or_of_the_future_is_refused() -> None:
    published = Published()
    published.publish(0)
    hub = published.hub
    with pytest.raises(EpochError):
        begin(StreamOptions(begin=Cursor(hub.epoch + 1, 0, 0)), hub)
    with pytest.raises(FutureError):
        begin(StreamOptions(begin=Cursor(hub.epoch, 2, 0)), hub)
    assert not hub.subscribers()


@pytest.mark.parametrize("cursor", [(0, 0), (1, 2**63), (2**63, 5), (1, 0)])
def test_impossible_cursors_claim_no_more_than_there_was(cursor: tuple[int, int]) -> None:
    published = Published(history_bytes=0)
    published.publish(0, 1, 0)
    seq, events = cursor
    options = StreamOptions(begin=Cursor(published.hub.epoch, seq, events), only_history=True)
    if seq > 3 or events > seq:
        with pytest.raises(FutureError):
            begin(options, published.hub)
    else:
        assert lost_in_history(taken(begin(options, published.hub))) <= 3


def test_a_reassigned_id_brings_no_events_of_the_probe_before() -> None:
    published = Published()
    published.publish(0, 1, 0)
    hub = published.hub
    stream = begin(StreamOptions(), hub)
    published.publish(1)
    taken(stream, until=1)
    cursor = stream.cursor
    published.publish(0, 1)
    hub.remove([0])
    hub.add([probe(0, value("id", "int"), method="other")])
    published.publish(0)
    items = taken(begin(StreamOptions(only_history=True, begin=Last(100)), hub))
    assert seqs(items) == [1, 3, 5, 6]
    items = taken(begin(StreamOptions(only_history=True, begin=cursor), hub))
    assert seqs(items) == [5, 6]


def test_positions_advance_without_matching_events() -> None:
    published = Published()
    stream = begin(StreamOptions(where="id < 0"), published.hub, ["*#place"])
    published.publish(1, 1)
    published.publish(0)
    published.hub.end()
    items = taken(stream)
    assert seqs(items) == []
    assert [item for item in items if isinstance(item, Skipped)] == [Skipped(filtered=1)]
    assert stream.cursor == Cursor(published.hub.epoch, 3, 1)


def test_a_late_position_is_sent_once() -> None:
    published = Published()
    stream = begin(StreamOptions(), published.hub, ["*#place"])
    published.publish(1)
    published.hub.end()
    items = taken(stream)
    assert [type(item) for item in items] == [Schema, Position]
    assert stream.cursor == Cursor(published.hub.epoch, 1, 0)


def test_denied_probes_are_left_out() -> None:
    published = Published()
    stream = begin(StreamOptions(deny=("*#cancel",)), published.hub)
    published.publish(0, 1, 2)
    published.hub.end()
    assert seqs(taken(stream)) == [0, 2]
    with pytest.raises(NoSuchProbeError, match=r"all but \*"):
        begin(StreamOptions(deny=("*",)), published.hub)


@pytest.mark.parametrize("policy", OnOverflow)
def test_a_full_queue_does_what_the_subscriber_has_asked_for(policy: OnOverflow) -> None:
    published = Published(queue_bytes=1000)
    stream = begin(StreamOptions(on_overflow=policy), published.hub, ["*#place"])
    for _ in range(50):
        published.publish(0, 1, 0)
    published.hub.end()
    placed = [seq for seq, number, _ in published.events if number == 0]
    if policy == OnOverflow.DISCONNECT:
        with pytest.raises(OverflowedError):
            taken(stream)
        cursor = stream.cursor
        assert seqs(taken(begin(StreamOptions(begin=cursor), published.hub, ["*#place"]))) == placed
        return
    got = seqs(taken(stream))
    assert 0 < len(got) < len(placed)
    assert got == (placed[-len(got) :] if policy == OnOverflow.DROP_OLDEST else placed[: len(got)])
    assert stream.lost == len(placed) - len(got)


def test_the_history_is_bounded_whatever_the_size_of_batches() -> None:
    for size in (1, 7, 500):
        published = Published(history_bytes=100_000)
        for _ in range(3000 // size):
            published.publish(*[0] * size)
        items = taken(begin(StreamOptions(only_history=True), published.hub))
        held = sum(len(item.message) for item in items if isinstance(item, EncodedEvents))
        assert 10_000 < held <= 100_000
        assert seqs(items) == list(range(published.seq))[-len(seqs(items)) :]


def test_times_need_not_be_in_order() -> None:
    published = Published()
    published.publish(0, time=10)
    published.publish(0, time=9)
    published.publish(0, time=11)
    assert seqs(taken(begin(StreamOptions(begin=Since(10), only_history=True), published.hub))) == [0, 2]


def test_sampling_and_rate_are_counted() -> None:
    published = Published()
    stream = begin(StreamOptions(sample_every=10, where="id >= 5"), published.hub)
    limited = begin(StreamOptions(max_rate=7), published.hub)
    for _ in range(10):
        published.publish(*[0] * 5, *[1] * 5)
    published.hub.end()
    items = taken(stream)
    got = seqs(items)
    of_place = [seq for seq, number, _ in published.events if number == 0 and seq >= 5]
    of_cancel = [seq for seq, number, _ in published.events if number == 1 and seq >= 5]
    assert got == sorted([*of_place[::10], *of_cancel[::10]])
    (skipped,) = (item for item in items if isinstance(item, Skipped))
    assert skipped == Skipped(filtered=5, sampled=95 - len(got))
    items = taken(limited)
    assert seqs(items) == list(range(7))
    assert [item for item in items if isinstance(item, Skipped)] == [Skipped(over_rate=93)]
    for each in (stream, limited):
        counts = each.counts()
        assert counts.events == counts.delivered + counts.skipped.total + counts.lost == 100


def test_columns_are_left_out() -> None:
    published = Published()
    options = StreamOptions(columns=frozenset({"time_unix_nanos", "duration_nanos"}))
    stream = begin(options, published.hub)
    published.publish(0, 1)
    published.hub.end()
    (events,) = (item for item in taken(stream) if isinstance(item, EncodedEvents))
    lengths = {
        name: len(getattr(events.columns, name)) for name in ("seq", "probe", "tid", "thread", "values")
    }
    assert lengths == {"seq": 2, "probe": 2, "tid": 0, "thread": 0, "values": 0}
    assert np.array_equal(events.columns.duration_nanos, [0, 0])

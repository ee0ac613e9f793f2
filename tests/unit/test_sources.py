"""Checks the interface of sources with two sources of batches: order, accounting, losses and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
from test_stream import METHODS, described

from conditions import wait_until
from jcollect.errors import JcollectError
from jcollect.hub.accounts import Accounts, Share
from jcollect.hub.hub import Hub
from jcollect.hub.ids import ProbeIds
from jcollect.hub.items import EncodedEvents
from jcollect.hub.merge import Merge
from jcollect.hub.reader import WINDOW_NS, Reader
from jcollect.layout.drain import EVENT_COLUMNS_BYTES
from jcollect.probes.probe import Probe, by_binary, probes_of
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.sources.base import ALWAYS, LossStage
from jcollect.sources.columns import Batch, Columns, joined, merged
from jcollect.workers import Failures
from list_source import ListSource, batch_of
from processes import closed
from stub_image import StubImage

CAPACITY = 16
SECOND = 1_000_000_000


@pytest.fixture
def probes() -> list[Probe]:
    return probes_of([StubLibrary(closed(4711), "/x", 0, parse_stub_image(StubImage(METHODS).build()))])


class Collector:
    """A hub that reads sources, with a subscriber."""

    def __init__(self, probes: list[Probe], *sources: ListSource, max_events: int | None = None) -> None:
        self.sources = sources
        self.accounts = Accounts(CAPACITY, sources)
        self.hub = Hub(described(probes), self.accounts)
        self._subscription = self.hub.subscribe(())
        self.ended = threading.Event()
        self.failures = Failures(self.ended.set)
        self.reader = Reader(sources, self.hub, self.accounts, max_events, self.ended.set, self.failures)

    def received(self) -> list[Columns]:
        """Finishes, and returns the batches."""
        assert self.reader.finish()
        self.hub.end()
        return [item.columns for item in self._subscription.items() if isinstance(item, EncodedEvents)]

    def delivered(self) -> int:
        return self.accounts.totals().delivered


def column(batches: list[Columns], name: str) -> list[int]:
    return [element for batch in batches for element in getattr(batch, name).tolist()]


# Batches


def test_merged_batches_are_in_the_order_of_time_with_values_and_texts_of_their_own() -> None:
    one = batch_of([(1, 0), (5, 0), (5, 1)], values=2, text=b"one")
    other = batch_of([(0, 2), (5, 3), (7, 2)], values=0, text=b"")
    third = batch_of([(4, 4)], values=1, text=b"third")
    both = merged([one, other, third])
    columns = both.columns
    assert columns.time_unix_nanos.tolist() == [0, 1, 4, 5, 5, 5, 7]
    assert columns.probe.tolist() == [2, 0, 4, 0, 1, 3, 2], "of equal times the earlier source comes first"
    assert both.value_counts.tolist() == [0, 2, 1, 2, 2, 0, 0]
    assert columns.values.tolist() == [1, 1, 4, 5, 5, 5, 5]
    assert both.text_sizes.tolist() == [0, 3, 5, 3, 3, 0, 0]
    assert columns.text == b"onethirdoneone"


def test_events_of_equal_times_stay_in_the_order_of_their_sources() -> None:
    dice = np.random.default_rng(11)
    events = [[(when, number) for when in sorted(dice.integers(0, 7, 499).tolist())] for number in range(3)]
    columns = merged([batch_of(each) for each in events]).columns
    found = list(zip(columns.time_unix_nanos.tolist(), columns.probe.tolist(), strict=True))
    # Python's sort is stable.
    assert found == sorted(chain(*events), key=lambda event: event[0])
    assert columns.seq[columns.probe == 1].tolist() == list(range(499))


def test_a_joined_batch_is_a_copy() -> None:
    batch = batch_of([(1, 0), (2, 1)], values=1)
    kept = joined([batch])
    batch.columns.time_unix_nanos[:] = 0
    assert kept.columns.time_unix_nanos.tolist() == [1, 2]


# The order across sources


def drained_times(merge: Merge, until: int = ALWAYS) -> list[int]:
    times: list[int] = []
    for _ in range(1000):
        drained = merge.drain(until)
        times += drained.batch.columns.time_unix_nanos.tolist()
        if not drained.more:
            return times
    raise AssertionError("there is always more")


@pytest.mark.parametrize("most", [1, 3, 1 << 30])
def test_sources_with_small_batches_are_merged_in_order(most: int) -> None:
    times = np.sort(np.random.default_rng(7).integers(0, 500, 997)).tolist()
    sources = [
        ListSource(CAPACITY, batches=[batch_of((when, number) for when in times[number::3])], most=most)
        for number in range(3)
    ]
    merge = Merge(sources)
    assert drained_times(merge, 250) == [when for when in times if when <= 250]
    assert drained_times(merge) == [when for when in times if when > 250]
    assert merge.out_of_order == 0


def test_a_merge_goes_on_to_a_later_time_only_once_all_sources_are_drained() -> None:
    slow = ListSource(CAPACITY, batches=[batch_of([(1, 0), (8, 0), (15, 0)])], most=1)
    quick = ListSource(CAPACITY, batches=[batch_of([(5, 1), (9, 1)])])
    merge = Merge([slow, quick])
    first = merge.drain(10)
    assert (first.batch.columns.time_unix_nanos.tolist(), first.more) == ([1], True)
    quick.put(batch_of([(12, 1)]))
    assert drained_times(merge, 20) == [5, 8, 9, 12, 15]
    assert merge.out_of_order == 0


def test_events_are_numbered_across_sources_and_lost_ones_leave_a_gap() -> None:
    one, other = ListSource(CAPACITY), ListSource(CAPACITY)
    merge = Merge([one, other])
    one.put(batch_of([(1, 0), (3, 0)]))
    other.put(batch_of([(2, 1)]))
    other.lose(LossStage.COLLECTOR, 1, 5)
    first = merge.drain()
    assert (first.batch.columns.seq.tolist(), first.lost) == ([0, 1, 2], 5)
    other.put(batch_of([(4, 1)]))
    assert merge.drain().batch.columns.seq.tolist() == [8]


def test_a_batch_of_all_sources_is_no_larger_than_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcollect.hub.merge.MOST_BYTES", 3 * EVENT_COLUMNS_BYTES)
    sources = [
        ListSource(CAPACITY, batches=[batch_of((when, n) for when in range(n, 10, 2))]) for n in (0, 1)
    ]
    merge = Merge(sources)
    sizes = []
    more = True
    while more:
        drained = merge.drain()
        sizes.append(len(drained.batch))
        more = drained.more
    assert sizes == [3, 3, 3, 1]


# Two sources and a hub


@pytest.fixture(params=[False, True], ids=["polled", "waking"])
def two(request: pytest.FixtureRequest) -> Iterator[tuple[ListSource, ListSource]]:
    """Returns two sources. The second is polled, or has a descriptor."""
    one, other = ListSource(CAPACITY, name="one"), ListSource(CAPACITY, name="other", wakes=request.param)
    yield one, other
    for source in (one, other):
        source.close()


def test_two_sources_are_published_in_order_with_counts_of_their_own(
    probes: list[Probe], two: tuple[ListSource, ListSource]
) -> None:
    one, other = two
    collector = Collector(probes, one, other)
    collector.reader.start()
    now = time.monotonic_ns() - SECOND
    # Events of the same time arrive in both sources, a little apart.
    for round_ in range(20):
        one.put(batch_of([(now + 100 * round_, 0), (now + 100 * round_ + 60, 1)]))
        other.put(batch_of([(now + 100 * round_ + 30, 2)], values=1))
    wait_until(lambda: collector.delivered() == 60, "all events")
    one.lose(LossStage.KERNEL_RING, 0, 7)
    other.lose(LossStage.KERNEL_RING, 2, 3)
    other.lose(LossStage.COLLECTOR, 2, 2)
    batches = collector.received()
    assert column(batches, "seq") == list(range(60))
    assert sorted(column(batches, "probe")) == sorted([0, 1, 2] * 20)
    totals = collector.accounts.totals()
    assert (totals.hits, totals.delivered, totals.lost_in_ring, totals.lost_in_collector) == (72, 60, 10, 2)
    assert totals.missing == 0
    first, second = collector.accounts.by_source()
    assert (first.name, first.hits, first.losses) == (
        "one", 47, {LossStage.KERNEL_RING: 7, LossStage.COLLECTOR: 0},
    )  # fmt: skip
    assert (second.name, second.hits, second.losses) == (
        "other", 25, {LossStage.KERNEL_RING: 3, LossStage.COLLECTOR: 2},
    )  # fmt: skip
    by_probe = collector.accounts.hit_counts().each([0, 1, 2])
    assert [(each.hits, each.delivered, each.lost_in_ring, each.lost_in_collector) for each in by_probe] == [
        (27, 20, 7, 0), (20, 20, 0, 0), (25, 20, 3, 2),
    ]  # fmt: skip


def test_inside_the_window_the_order_does_not_depend_on_the_source(
    probes: list[Probe], two: tuple[ListSource, ListSource]
) -> None:
    one, other = two
    collector = Collector(probes, one, other)
    # In the future, so that everything is buffered until the end, however slow this machine is.
    now = time.monotonic_ns() + 1000 * SECOND
    one.put(batch_of((now + 2 * i, 0) for i in range(101)))
    collector.reader.start()
    time.sleep(4 * WINDOW_NS / 1e9)
    assert collector.delivered() == 0
    other.put(batch_of((now + 2 * i + 1, 1) for i in range(101)))
    batches = collector.received()
    assert column(batches, "time_unix_nanos") == list(range(now, now + 202))
    assert column(batches, "probe") == [0, 1] * 101
    assert collector.reader.out_of_order == 0


def test_beyond_the_window_an_older_event_is_published_and_counted(
    probes: list[Probe], two: tuple[ListSource, ListSource]
) -> None:
    one, other = two
    collector = Collector(probes, one, other)
    collector.reader.start()
    old = time.monotonic_ns() - SECOND
    one.put(batch_of([(old + 5, 0), (old + 7, 0)]))
    wait_until(lambda: collector.delivered() == 2, "the first events")
    other.put(batch_of([(old, 1), (old + 6, 1), (old + 9, 1)]))
    batches = collector.received()
    assert [when - old for when in column(batches, "time_unix_nanos")] == [5, 7, 0, 6, 9]
    assert collector.reader.out_of_order == 2


def test_losses_of_one_source_reach_the_subscribers_of_its_probes(probes: list[Probe]) -> None:
    one, other = ListSource(CAPACITY), ListSource(CAPACITY)
    accounts = Accounts(CAPACITY, [one, other])
    one.lose(LossStage.KERNEL_RING, 3, 11)
    other.lose(LossStage.KERNEL_RING, 3, 13)
    other.lose(LossStage.COLLECTOR, 4, 17)
    assert accounts.lost_in_ring()[[3, 4]].tolist() == [24, 0]
    assert accounts.lost_in_collector()[[3, 4]].tolist() == [0, 17]


def test_max_events_are_those_of_all_sources_together(
    probes: list[Probe], two: tuple[ListSource, ListSource]
) -> None:
    one, other = two
    old = time.monotonic_ns() - SECOND
    collector = Collector(probes, one, other, max_events=5)
    one.put(batch_of((old + 2 * i, 0) for i in range(4)))
    other.put(batch_of((old + 2 * i + 1, 1) for i in range(4)))
    collector.reader.start()
    assert collector.ended.wait(30)
    batches = collector.received()
    assert column(batches, "probe") == [0, 1, 0, 1, 0]
    totals = collector.accounts.totals()
    assert (totals.hits, totals.delivered, totals.filtered) == (8, 5, 3)


def test_a_source_that_cannot_be_read_ends_the_collector(
    probes: list[Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ListSource(CAPACITY), ListSource(CAPACITY)

    def fail(until: int = ALWAYS) -> None:
        raise JcollectError("the other source is torn")

    monkeypatch.setattr(other, "drain", fail)
    collector = Collector(probes, one, other)
    collector.reader.start()
    assert collector.ended.wait(30)
    assert collector.reader.finish()
    with pytest.raises(JcollectError, match="the other source is torn"):
        collector.failures.check()


def test_one_source_is_read_without_a_merge(probes: list[Probe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcollect.hub.reader.Merge", pytest.fail)
    only = ListSource(CAPACITY)
    collector = Collector(probes, only)
    collector.reader.start()
    only.put(batch_of([(1, 0), (2, 1)]))
    wait_until(lambda: collector.delivered() == 2, "both events")
    assert column(collector.received(), "probe") == [0, 1]
    only.close()


# Probes of a source


def test_events_of_one_source_alone_are_merged_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 0
    kept = Batch.kept

    def count_copies(batch: Batch) -> Batch:
        nonlocal copied
        copied += 1
        return kept(batch)

    monkeypatch.setattr(Batch, "kept", count_copies)
    one, other = ListSource(4, most=2), ListSource(4)
    merge = Merge([one, other])
    one.put(batch_of([(1, 0), (2, 1), (3, 0), (5, 1)]))
    found = [merge.drain(4).batch.columns for _ in range(2)]
    assert [columns.time_unix_nanos.tolist() for columns in found] == [[1, 2], [3]]
    assert [columns.seq.tolist() for columns in found] == [[0, 1], [2]]
    assert copied == 0
    other.put(batch_of([(4, 2)]))
    last = merge.drain().batch.columns
    assert (last.time_unix_nanos.tolist(), last.seq.tolist()) == ([4, 5], [3, 4])
    assert copied == 2


def test_a_source_arms_the_sites_of_described_probes_until_they_are_disarmed(probes: list[Probe]) -> None:
    source = ListSource(CAPACITY)
    (group,) = by_binary(probes)
    ids = list(range(len(group)))
    with pytest.raises(JcollectError, match="not described"):
        source.arm(ids, [probe.site for probe in group])
    source.describe(ids, group)
    armed = source.arm(ids, [probe.site for probe in group])
    limit = source.raise_semaphores([group[0].site])
    assert (sorted(source.armed), source.raised) == (ids, [group[0].site])
    armed.disarm()
    limit.disarm()
    assert not source.armed
    source.close()
    assert source.is_closed


# IDs


class Group:
    def __init__(self, ids: list[int]) -> None:
        self.ids = np.array(ids, np.int64)


def test_ids_are_fresh_first_and_then_those_of_probes_that_were_retired_first() -> None:
    source = ListSource(4)
    accounts = Accounts(4, [source])
    removed: list[int] = []
    ids: ProbeIds[Group] = ProbeIds(accounts, removed.extend)
    share = Share()
    first, second = ids.assign(1), ids.assign(2)
    assert (first, second) == ([0], [1, 2])
    groups = [Group(second), Group(first)]
    for group in groups:
        share.add(group.ids)
        ids.retire(group, share)
    assert ids.assign(1) == [3], "the one that was never assigned"
    assert (ids.retired, removed) == (groups, [])
    assert ids.assign(1) == [1]
    assert (ids.retired, removed) == (groups[1:], [1, 2])
    ids.give_back([1])
    assert ids.assign(9) == [2, 1, 0], "no more than there are"
    assert ids.assign(1) == []


def test_ids_are_not_reassigned_while_an_event_is_in_flight() -> None:
    source = ListSource(2)
    accounts = Accounts(2, [source])
    ids: ProbeIds[Group] = ProbeIds(accounts, lambda removed: None)
    share = Share()
    group = Group(ids.assign(2))
    share.add(group.ids)
    source.put(batch_of([(1, 1)]))
    ids.retire(group, share)
    assert ids.assign(1) == []
    accounts.deliver(np.array([1], np.uint32))
    assert ids.assign(1) == [0]
    totals = share.totals(accounts.hit_counts())
    assert (totals.hits, totals.delivered) == (1, 1)
    assert accounts.hit_counts().totals().hits == 0, "the counts of the next probe begin at 0"


def test_few_retired_probes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcollect.hub.ids.MAX_RETIRED", 3)
    accounts = Accounts(8, [ListSource(8)])
    removed: list[int] = []
    ids: ProbeIds[Group] = ProbeIds(accounts, removed.extend)
    share = Share()
    for _ in range(3):
        group = Group(ids.assign(2))
        share.add(group.ids)
        ids.retire(group, share)
    assert removed == [0, 1, 2, 3][: len(removed)]
    assert sum(len(each.ids) for each in ids.retired) <= 3

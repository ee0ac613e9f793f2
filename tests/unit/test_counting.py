"""A session that has its processes count calls: exact books, no events, and nothing that stays raised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from counting_target import METHODS, CountingTarget
from jcollect.errors import JcollectError
from jcollect.exponential_histogram import NOTHING, ExponentialHistogram
from jcollect.hub.hub import NoSuchProbeError
from jcollect.layout.stub_library import DIRECT_SEMAPHORES_COUNT, DIRECT_SEMAPHORES_SIZE
from jcollect.probes.description import Described
from jcollect.probes.site import Site
from jcollect.session import group_counts
from jcollect.session.aggregation import Aggregation, CountedInterval
from jcollect.session.options import SessionSettings
from jcollect.session.session import Session
from jcollect.session.tracee import Tracee
from jcollect.sources.base import Armed
from jprobe.v1 import probe_pb2
from list_source import ListSource
from reference_histogram import histogram_of

THROW = probe_pb2.PROBE_KIND_THROW
PLACE, CLOSE = range(len(METHODS))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[CountingTarget]:
    target = CountingTarget(tmp_path)
    try:
        yield target
    finally:
        target.close()


@dataclass
class Collector:
    """A session of this process, whose only source raises semaphores and has no events."""

    session: Session
    source: ListSource
    tracee: Tracee

    def status(self) -> tuple[int, int]:
        """Returns hits and counted of all probes, and checks that they add up."""
        status = self.session.status()
        assert status.counts.missing == 0
        for each in status.probes:
            assert each.counts.missing == 0
        return status.counts.hits, status.counts.counted


def collecting(target: CountingTarget, only_counts: bool = True) -> Collector:
    sources: list[ListSource] = []

    def open_source(capacity: int, utc_offset_ns: int) -> ListSource:
        sources.append(ListSource(capacity, utc_offset_ns))
        return sources[0]

    session = Session(SessionSettings(capacity=64, only_counts=only_counts), open_sources=[open_source])
    session.start()
    tracee = session.join(target.scan(), lambda probe: True, "orders")
    tracee.attach()
    return Collector(session, sources[0], tracee)


@pytest.fixture
def collector(target: CountingTarget) -> Iterator[Collector]:
    target.open_histograms()
    found = collecting(target)
    try:
        yield found
    finally:
        found.session.detach()
        found.session.close()


@pytest.fixture
def event_collector(target: CountingTarget) -> Iterator[Collector]:
    target.open_histograms()
    found = collecting(target, only_counts=False)
    try:
        yield found
    finally:
        found.session.detach()
        found.session.close()


def named(interval: CountedInterval, known: dict[int, Described]) -> dict[str, ExponentialHistogram]:
    """Returns the histograms by the names of their probes, and adds to the known ones."""
    known.update({probe.id: probe for probe in interval.probes})
    return {known[number].name: histogram for number, histogram in interval.histograms}


def count_semaphores(collector: Collector) -> list[int]:
    """Returns the raised semaphores as numbers of their slots."""
    (library,) = collector.tracee.scan.libraries
    offsets = [site.semaphore - library.image.direct.address for site in collector.source.raised]
    assert all(offset % DIRECT_SEMAPHORES_SIZE == DIRECT_SEMAPHORES_COUNT for offset in offsets)
    return sorted(offset // DIRECT_SEMAPHORES_SIZE for offset in offsets)


def test_only_ends_of_methods_are_counted_and_no_site_is_armed(collector: Collector) -> None:
    assert {probe.name for probe in collector.session.describe()} == {
        "place__return", "place__throw", "close__return", "close__throw"
    }  # fmt: skip
    assert not collector.source.armed
    # Slot 0 is that of the limit; entries have slots 1 and 4.
    assert count_semaphores(collector) == [2, 3, 5, 6]


def test_counted_calls_are_hits_and_the_sum_of_all_buckets(
    target: CountingTarget, collector: Collector
) -> None:
    target.call(PLACE, 100, calls=3)
    target.call(PLACE, 0)
    target.call(CLOSE, 5_000_000_000, calls=104_729)
    target.call(CLOSE, 7, kind=THROW)
    target.filter(CLOSE, 50)
    assert collector.status() == (104_784, 104_734)
    (group,) = collector.tracee.groups
    assert sum(each.count for each in group.calls.counted) == 104_734
    for probe in collector.session.status().probes:
        calls = probe.calls or NOTHING
        assert calls.count == calls.zero + sum(count for _, count in calls.buckets()) == probe.counts.counted
    target.call(CLOSE, 9)
    assert collector.status() == (104_785, 104_735)


def test_calls_before_the_collector_attached_are_not_counted(target: CountingTarget) -> None:
    target.open_histograms()
    target.call(PLACE, 100, calls=70)
    found = collecting(target)
    try:
        target.call(PLACE, 100, calls=2)
        assert found.status() == (2, 2)
    finally:
        found.session.detach()
        found.session.close()


def test_a_file_that_replaces_another_loses_no_call(target: CountingTarget, collector: Collector) -> None:
    target.call(PLACE, 100, calls=5)
    assert collector.status() == (5, 5)
    target.call(PLACE, 100, calls=6)
    target.open_histograms()
    # Histograms are assigned in another order.
    target.call(CLOSE, 3, calls=10)
    target.call(PLACE, 100, calls=20)
    assert collector.status() == (41, 41)
    (group,) = collector.tracee.groups
    counted = dict(zip((probe.name for probe in group.probes), group.calls.counted, strict=True))
    assert counted["place__return"] == histogram_of([100] * 31)
    assert counted["close__return"] == histogram_of([3] * 10)


def test_a_closed_file_keeps_what_was_counted_and_is_read_to_the_end(
    target: CountingTarget, collector: Collector
) -> None:
    target.call(PLACE, 100)
    assert collector.status() == (1, 1)
    target.call(PLACE, 100, calls=4)
    target.close_histograms()
    assert collector.status() == (5, 5)


def test_a_count_that_falls_is_rejected_forever(target: CountingTarget, collector: Collector) -> None:
    target.call(PLACE, 100, calls=6)
    assert collector.status() == (6, 6)
    assert target.image is not None
    target.image.write(target.number(PLACE), histogram_of([100] * 5))
    assert collector.status() == (6, 6)
    assert not collector.tracee.credibility.is_credible
    target.image.write(target.number(PLACE), histogram_of([100] * 40))
    assert collector.status() == (6, 6)


def test_a_count_that_no_machine_can_reach_is_rejected(target: CountingTarget, collector: Collector) -> None:
    target.call(PLACE, 100, calls=5)
    assert collector.status() == (5, 5)
    target.call(PLACE, 1, calls=1 << 60)
    assert collector.status() == (5, 5)
    assert not collector.tracee.credibility.is_credible


def test_the_final_counts_include_the_calls_until_the_end(target: CountingTarget) -> None:
    target.open_histograms()
    found = collecting(target)
    try:
        target.call(PLACE, 100, calls=3)
        found.source.disarming = lambda: None
        totals = found.session.detach()
        assert (totals.hits, totals.counted, totals.missing) == (3, 3, 0)
        assert not found.source.raised
    finally:
        found.session.close()


def test_each_interval_has_the_calls_since_the_one_before(
    target: CountingTarget, collector: Collector
) -> None:
    target.call(PLACE, 100, calls=9)
    aggregation = collector.session.aggregate()
    known: dict[int, Described] = {}
    first = aggregation.interval()
    assert named(first, known) == {}
    assert len(known) == 4
    assert first.start_unix_nanos == first.end_unix_nanos
    target.call(PLACE, 200, calls=2)
    target.call(CLOSE, 7, kind=THROW)
    second = aggregation.interval()
    assert named(second, known) == {
        "place__return": histogram_of([200, 200]), "close__throw": histogram_of([7])
    }  # fmt: skip
    assert not second.probes
    assert second.start_unix_nanos == first.end_unix_nanos < second.end_unix_nanos
    assert named(aggregation.interval(), known) == {}
    aggregation.close()
    assert collector.status() == (12, 12)


def test_intervals_add_up_to_the_whole(target: CountingTarget, collector: Collector) -> None:
    aggregation = collector.session.aggregate()
    aggregation.interval()
    sums: dict[int, ExponentialHistogram] = {}
    for calls in range(1, 20):
        target.call(calls % 2, 50 * calls, calls)
        for number, histogram in aggregation.interval().histograms:
            sums[number] = sums.get(number, NOTHING) + histogram
    aggregation.close()
    whole = collector.session.aggregate().interval(is_whole=True)
    assert dict(whole.histograms) == sums
    assert sum(each.count for each in sums.values()) == collector.status()[1] == sum(range(20))


@pytest.mark.parametrize("only_counts", [True, False], ids=["counts", "events"])
def test_each_interval_says_what_was_throttled(target: CountingTarget, only_counts: bool) -> None:
    target.open_histograms()
    collector = collecting(target, only_counts)
    aggregation = collector.session.aggregate(["*:*return", "*:*throw"])
    try:
        target.throttle(PLACE, 5, 1_000)
        assert not aggregation.interval().throttled
        assert not aggregation.interval().throttled
        target.throttle(PLACE, 7, 3_000)
        known = {probe.id: probe.name for probe in collector.session.describe()}
        found = {known[number]: numbers for number, *numbers in aggregation.interval().throttled}
        assert found == {"place__return": [2, 2_000], "place__throw": [0, 2_000]}
        assert not aggregation.interval().throttled
    finally:
        aggregation.close()
        collector.session.detach()
        collector.session.close()


def test_globs_choose_what_is_counted(target: CountingTarget, collector: Collector) -> None:
    aggregation = collector.session.aggregate(["*:close__*"])
    known: dict[int, Described] = {}
    named(aggregation.interval(), known)
    target.call(PLACE, 100)
    target.call(CLOSE, 100)
    assert named(aggregation.interval(), known) == {"close__return": histogram_of([100])}
    aggregation.close()
    with pytest.raises(NoSuchProbeError):
        collector.session.aggregate(["no_such"])
    with pytest.raises(NoSuchProbeError):
        collector.session.aggregate((), [1])


def test_a_collector_of_events_counts_only_for_clients_and_a_little_longer(
    target: CountingTarget, event_collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = event_collector
    assert not collector.source.raised
    assert len(collector.source.armed) == 7
    aggregation = collector.session.aggregate(["*:close__*"])
    assert not collector.source.raised
    aggregation.interval()
    assert count_semaphores(collector) == [5, 6]
    other = collector.session.aggregate(["*:*return"])
    other.interval()
    assert count_semaphores(collector) == [2, 5, 6]
    target.call(CLOSE, 8, calls=3)
    known = {probe.id: probe for probe in collector.session.describe()}
    for each in (aggregation, other):
        assert named(each.interval(), dict(known)) == {"close__return": histogram_of([8] * 3)}  # type: ignore[arg-type]
    # The same calls are events, which the books have already.
    assert collector.session.status().counts.counted == 0
    aggregation.close()
    other.close()
    collector.tracee.count()
    assert collector.source.raised
    monkeypatch.setattr(group_counts.time, "monotonic", lambda: 1e9)
    collector.tracee.count()
    assert not collector.source.raised
    monkeypatch.undo()
    target.call(CLOSE, 8, calls=70)
    again = collector.session.aggregate(["*:close__*"])
    again.interval()
    target.call(CLOSE, 8)
    assert named(again.interval(), dict(known)) == {"close__return": histogram_of([8])}  # type: ignore[arg-type]
    again.close()


def test_a_process_that_cannot_be_made_to_count_is_an_error(
    event_collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sites: Sequence[Site]) -> Armed:
        raise JcollectError("cannot attach to it")

    monkeypatch.setattr(event_collector.source, "raise_semaphores", fail)
    aggregation = event_collector.session.aggregate()
    with pytest.raises(JcollectError, match="cannot attach to it"):
        aggregation.interval()
    monkeypatch.undo()
    aggregation.interval()
    assert event_collector.source.raised
    aggregation.close()


def test_all_that_wait_for_intervals_end_with_the_session(target: CountingTarget) -> None:
    found = collecting(target, only_counts=False)
    aggregations: list[Aggregation] = [found.session.aggregate() for _ in range(2)]
    for each in aggregations:
        each.interval()
        assert not each.wait(0.0)
    found.session.detach()
    assert all(each.wait(0.0) for each in aggregations)
    assert not found.source.raised
    found.session.close()


def test_a_process_without_histograms_counts_nothing(target: CountingTarget) -> None:
    found = collecting(target)
    assert found.status() == (0, 0)
    found.session.detach()
    found.session.close()

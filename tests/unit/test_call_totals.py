"""Totals of calls by method: bounded, complete, and never falling."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jcollect.metrics import call_totals
from jcollect.metrics.call_totals import CallSnapshot, CallTotals, MethodKey
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import RETURN, THROW
from jcollect.session.aggregation import CountedInterval
from reference_histogram import histogram_of
from served import described

PID, LATER = 4711, 4712
START = 1_000


def probes(count: int, pid: int = PID, first: int = 0) -> list[ProbeDescription]:
    """Returns a return and a throw probe of each of that many methods, with IDs of 2n and 2n + 1."""
    return [
        each._replace(id=2 * each.id + kind_at, pid=pid, kind=kind)
        for each in described(count, first)
        for kind_at, kind in enumerate((RETURN, THROW))
    ]


def interval(
    calls: dict[int, Sequence[int]], new: Sequence[ProbeDescription] = (), start: int = START
) -> CountedInterval:
    """Returns an interval with calls of these durations by probe ID."""
    found = [(number, histogram_of(durations)) for number, durations in calls.items()]
    return CountedInterval(new, found, start, start + 1)


class Totals:
    def __init__(self, most: int) -> None:
        self.totals = CallTotals(most, START)

    def add(
        self, calls: dict[int, Sequence[int]], new: Sequence[ProbeDescription] = (), start: int = START
    ) -> CallSnapshot:
        self.totals.describe(new, {PID: "orders", LATER: "later"})
        self.totals.add(interval(calls, new, start))
        return self.totals.snapshot()


def shown(snapshot: CallSnapshot) -> dict[str, int]:
    return {
        each.key.class_name.removeprefix("com.acme.orders."): each.calls.count for each in snapshot.series
    }


def test_calls_are_summed_up_by_method_and_outcome() -> None:
    totals = Totals(5)
    totals.add({0: [10, 20], 1: [7]}, probes(2))
    snapshot = totals.add({0: [30], 2: [0]})
    (first, second) = snapshot.series
    assert first.key == MethodKey(PID, "orders", "com.acme.orders.Order0Service", "place", "(J)V")
    assert first.calls.returned == histogram_of([10, 20, 30])
    assert first.calls.threw == histogram_of([7])
    assert second.calls.returned == histogram_of([0])
    assert (snapshot.other.count, snapshot.hidden, snapshot.methods) == (0, 0, 2)


def test_the_methods_with_most_calls_have_series_and_the_others_are_summed_up() -> None:
    totals = Totals(2)
    snapshot = totals.add({0: [1] * 3, 2: [1] * 5, 4: [1] * 4}, probes(3))
    assert shown(snapshot) == {"Order1Service": 5, "Order2Service": 4}
    assert snapshot.other.returned == histogram_of([1] * 3)
    assert snapshot.methods == 3


def test_a_method_gets_the_series_of_another_one_only_with_twice_its_calls() -> None:
    totals = Totals(1)
    totals.add({0: [1] * 10}, probes(2))
    assert shown(totals.add({2: [1] * 19})) == {"Order0Service": 10}
    snapshot = totals.add({2: [1] * 2}, start=2000)
    # What was counted as other stays there.
    assert shown(snapshot) == {"Order1Service": 2}
    assert (snapshot.other.count, snapshot.hidden) == (19, 10)
    assert snapshot.series[0].calls.start_unix_nanos == 2000


def test_a_method_that_gets_its_series_back_goes_on_where_it_was() -> None:
    totals = Totals(1)
    totals.add({0: [1] * 10}, probes(2))
    totals.add({2: [1] * 40})
    snapshot = totals.add({0: [1] * 100})
    assert shown(snapshot) == {"Order0Service": 110}
    assert (snapshot.other.count, snapshot.hidden) == (0, 40)


def test_an_exited_process_keeps_its_series_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(call_totals.time, "monotonic", lambda: now[0])
    totals = Totals(2)
    totals.add({0: [1] * 10, 2: [1] * 9, 4: [1]}, probes(3))
    totals.totals.forget_exited([])
    # Its last calls come after its exit.
    snapshot = totals.add({0: [1], 4: [1]})
    totals.totals.forget_exited([])
    assert shown(snapshot) == {"Order0Service": 11, "Order1Service": 9}
    assert (snapshot.other.count, snapshot.methods) == (2, 3)
    now[0] += call_totals.KEPT_SECONDS
    totals.totals.forget_exited([])
    snapshot = totals.totals.snapshot()
    assert not snapshot.series
    assert (snapshot.other.count, snapshot.hidden, snapshot.methods) == (2, 20, 0)


def test_a_running_process_takes_the_series_of_an_exited_one() -> None:
    totals = Totals(1)
    totals.add({0: [1] * 1000}, probes(1))
    totals.totals.forget_exited([LATER])
    snapshot = totals.add({2: [1]}, probes(1, LATER, first=1))
    assert [each.key.process for each in snapshot.series] == ["later"]
    assert (snapshot.other.count, snapshot.hidden) == (0, 1000)


def test_a_reassigned_id_counts_for_its_new_probe() -> None:
    totals = Totals(5)
    totals.add({0: [1] * 3}, probes(1))
    snapshot = totals.add({0: [1]}, [each._replace(id=0) for each in probes(1, first=7)[:1]])
    assert shown(snapshot) == {"Order0Service": 3, "Order7Service": 1}


def test_names_are_bounded_and_printable() -> None:
    totals = Totals(5)
    name = "x" * 70_000
    probe = probes(1)[0]._replace(class_name=name, method="a\x1b[2J\n")
    (series,) = totals.add({0: [1]}, [probe]).series
    assert len(series.key.class_name) == 512
    assert series.key.method == "a\\x1b[2J\\n"


def test_methods_beyond_the_remembered_ones_are_counted_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_totals, "_MOST_REMEMBERED", 2)
    totals = Totals(5)
    snapshot = totals.add({0: [1], 2: [1], 4: [1] * 9}, probes(3))
    assert (len(snapshot.series), snapshot.other.count) == (2, 9)


METHODS = 6


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 2 * METHODS - 1), st.integers(1, 30), max_size=4),
            st.sampled_from([[PID], [LATER], [PID, LATER], []]),
        ),
        max_size=25,
    )
)
def test_no_series_falls_and_no_call_is_missing(steps: list[tuple[dict[int, int], list[int]]]) -> None:
    totals = Totals(2)
    every = [*probes(METHODS // 2), *probes(METHODS // 2, LATER, first=METHODS // 2)]
    highest: dict[MethodKey, int] = {}
    other = calls = 0
    for counts, alive in steps:
        snapshot = totals.add({number: [5] * count for number, count in counts.items()}, every)
        totals.totals.forget_exited(alive)
        calls += sum(counts.values())
        assert (
            sum(each.calls.count for each in snapshot.series) + snapshot.other.count + snapshot.hidden
            == calls
        )
        assert len(snapshot.series) <= 2
        assert snapshot.other.count >= other
        other = snapshot.other.count
        # A process with its PID may come, and begins at 0.
        highest = {key: calls for key, calls in highest.items() if key.pid in alive}
        for each in snapshot.series:
            assert each.calls.count >= highest.get(each.key, 0)
            highest[each.key] = each.calls.count

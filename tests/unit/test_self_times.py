"""Own times of calls: sums of them count no time twice, whatever calls are nested."""

from __future__ import annotations

import random

import numpy as np

from event_batches import Event, batch, probe
from jcollect.convert.self_times import SelfTimes

OUTER, INNER = probe(1, method="outer"), probe(2, method="inner")


def own(events: list[Event], times: SelfTimes | None = None) -> list[int]:
    columns = batch(events).columns
    found = (times or SelfTimes()).of(columns, np.arange(len(events)), [4711] * len(events))
    return [int(each) for each in found]


def call(of: object, start: int, end: int, thread: int = 1) -> Event:
    return Event(of, (), end - start, end, thread, start=start)  # type: ignore[arg-type]


def test_a_call_has_the_time_outside_of_the_calls_below() -> None:
    events = [
        call(INNER, 120, 150), call(INNER, 160, 170), call(OUTER, 110, 200),
        call(INNER, 100, 190, thread=2), call(OUTER, 100, 300), call(INNER, 305, 306),
    ]  # fmt: skip
    assert own(events) == [30, 10, 50, 90, 110, 1]


def test_an_event_without_a_start_begins_its_duration_before_it() -> None:
    assert own([Event(INNER, (), 30, 150), Event(OUTER, (), 100, 200)]) == [30, 70]


def test_the_sum_is_that_of_the_outermost_calls() -> None:
    dice = random.Random(5)
    times, now, total, outermost = SelfTimes(), 1000, 0, 0

    def run(depth: int) -> list[Event]:
        nonlocal now
        events, start = [], now
        now += dice.randrange(1, 9)
        for _ in range(dice.randrange(3) if depth < 6 else 0):
            events += run(depth + 1)
        now += dice.randrange(1, 9)
        return [*events, call(dice.choice([INNER, OUTER]), start, now)]

    for _ in range(300):
        events = run(0)
        outermost += events[-1].duration
        total += sum(own(events, times))
        now += dice.randrange(5)
    assert total == outermost

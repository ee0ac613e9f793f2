"""Pauses of JVMs, joined with calls: whatever is missing makes them unknown, never wrong."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from event_batches import Event, batch, probe, value
from jcollect.hub.pauses import PauseStage, ProcessPauses, label_of
from jcollect.probes.description import ProbeDescription
from jcollect.sources.columns import Batch
from jcollect.sources.explanation import Explanation
from jprobe.v1 import collector_pb2, probe_pb2

PART = collector_pb2.EXPLANATION_PART_PAUSES
OPERATION = value("operation", "java.lang.String")
NOW = 1_000_000


def stage(lost: list[int] | None = None, now: int = NOW) -> tuple[PauseStage, dict[str, ProbeDescription]]:
    """Returns a stage that knows of PID 4711 since `now`, and its probes by name."""
    counts = lost if lost is not None else [0]
    found = PauseStage(16, 0, lambda: counts[0], lambda: now)
    probes = {
        "call": probe(1, method="work"),
        "begin": probe(2, method="safepoint__begin"),
        "end": probe(3, method="safepoint__end"),
        "operation": probe(4, OPERATION, method="vmops__begin"),
    }
    for name, provider in (("begin", "hs_private"), ("end", "hs_private"), ("operation", "hotspot")):
        probes[name] = probes[name]._replace(
            provider=provider,
            name=probes[name].method,
            kind=probe_pb2.PROBE_KIND_MARK,
            file="/jdk/lib/server/libjvm.so",
        )
    found.describe(list(probes.values()))
    found.armed(probes["call"].pid)
    return found, probes


def call(of: ProbeDescription, start: int, end: int) -> Event:
    return Event(of, (), end - start, end + 10, start=start)


def pauses_of(explained: Batch) -> list[tuple[int, int, str | None]]:
    """Returns of each event whether its pauses are known, their time, and what the longest was for."""
    explanation = explained.columns.explanation
    assert explanation is not None
    names = (None, *explanation.names)
    return [
        (int(known & PART), int(nanos), names[int(top)])
        for known, nanos, top in zip(
            explanation.known,
            explanation.columns["pause_nanos"],
            explanation.columns["top_pause"],
            strict=True,
        )
    ]


def test_a_call_has_the_parts_of_the_pauses_within_it() -> None:
    stages, of = stage()
    found = stages.apply(
        batch([
            Event(of["begin"], time=NOW + 100),
            Event(of["operation"], ("G1CollectForAllocation",), time=NOW + 101),
            Event(of["end"], time=NOW + 150),
            Event(of["begin"], time=NOW + 200),
            Event(of["operation"], ("Deoptimize",), time=NOW + 201),
            Event(of["end"], time=NOW + 210),
            call(of["call"], NOW + 120, NOW + 400),
            call(of["call"], NOW + 300, NOW + 401),
            call(of["call"], NOW + 205, NOW + 402),
            call(of["call"], NOW - 5, NOW + 403),
        ])
    )  # fmt: skip
    assert pauses_of(found) == [
        *[(0, 0, None)] * 6,
        (PART, 40, "G1 pause"),
        (PART, 0, None),
        (PART, 5, "Deoptimize"),
        (0, 0, None),
    ]


def test_other_parts_of_an_explanation_stay() -> None:
    stages, of = stage()
    events = batch([
        Event(of["begin"], time=NOW + 100),
        Event(of["end"], time=NOW + 150),
        call(of["call"], NOW + 1, NOW + 400),
    ])  # fmt: skip
    before = Explanation(
        np.array([0, 0, 8], np.uint32), {"top_syscall": np.array([0, 0, 1], np.uint32)}, ("futex",)
    )
    found = stages.apply(replace(events, columns=replace(events.columns, explanation=before)))
    explanation = found.columns.explanation
    assert explanation is not None
    assert explanation.known.tolist() == [0, 0, 8 | PART]
    assert explanation.names == ("futex", "safepoint")
    assert explanation.columns["top_syscall"].tolist() == [0, 0, 1]
    assert explanation.columns["top_pause"].tolist() == [0, 0, 2]


def test_a_pause_that_has_not_ended_counts_up_to_the_end_of_the_call() -> None:
    stages, of = stage()
    events = [Event(of["begin"], time=NOW + 100), call(of["call"], NOW + 1, NOW + 130)]
    assert pauses_of(stages.apply(batch(events)))[1] == (PART, 30, "safepoint")


@pytest.mark.parametrize("missing", ["begin", "end"])
def test_calls_around_a_missing_event_are_unknown(missing: str) -> None:
    stages, of = stage()
    marks = [("begin", 100), ("end", 150), ("begin", 200), ("end", 250)]
    marks.remove((missing, 200 if missing == "begin" else 150))
    events = [Event(of[name], time=NOW + when) for name, when in marks]
    events += [call(of["call"], NOW + 10, NOW + 300), call(of["call"], NOW + 260, NOW + 301)]
    assert pauses_of(stages.apply(batch(events)))[-2:] == [(0, 0, None), (PART, 0, None)]


def test_calls_before_a_loss_are_unknown() -> None:
    lost = [0]
    stages, of = stage(lost)
    assert pauses_of(stages.apply(batch([call(of["call"], NOW, NOW + 5)])))[0][0] == PART
    lost[0] = 1
    assert pauses_of(stages.apply(batch([call(of["call"], NOW - 1, NOW + 5)])))[0][0] == 0
    stages.left(of["call"].pid)
    assert pauses_of(stages.apply(batch([call(of["call"], NOW, NOW + 5)])))[0][0] == 0


def test_pauses_agree_with_a_simple_sum() -> None:
    dice = random.Random(3)
    pauses, every, now = ProcessPauses(0), [], 0
    for _ in range(9000):
        now += dice.randrange(1, 50)
        begin = now
        pauses.begin(begin)
        pauses.name(dice.choice(["Cleanup", "G1PauseRemark"]))
        now += dice.randrange(1, 20)
        pauses.end(now)
        every.append((begin, now))
    assert pauses.complete_since > 0, "the oldest are forgotten"
    starts = np.array([dice.randrange(pauses.complete_since, now + 50) for _ in range(2000)])
    ends = starts + [dice.choice([0, 5, dice.randrange(1, 3000)]) for _ in starts]
    found, labels = pauses.within(starts, ends)
    for start, end, taken, label in zip(starts, ends, found, labels, strict=True):
        assert taken == sum(max(0, min(end, last) - max(start, first)) for first, last in every)
        assert bool(label) == bool(taken)


@pytest.mark.parametrize(
    "marks",
    [
        [("begin", 200), ("end", 190)],
        [("begin", 100), ("end", 250), ("begin", 240)],
        [("begin", 200), ("begin", 100)],
        [("end", 250), ("end", 30)],
    ],
)
def test_events_that_are_out_of_order_explain_no_call_before(marks: list[tuple[str, int]]) -> None:
    stages, of = stage()
    events = [Event(of[name], time=NOW + when) for name, when in marks]
    events += [call(of["call"], NOW + 10, NOW + 300), call(of["call"], NOW + 50, NOW + 70)]
    assert pauses_of(stages.apply(batch(events)))[-2:] == [(0, 0, None)] * 2


def test_events_of_another_file_are_no_pauses() -> None:
    stages, of = stage()
    stages.describe([of[name]._replace(file="/tmp/own.so") for name in ("begin", "end", "operation")])
    events = [
        Event(of["begin"], time=NOW + 100),
        Event(of["end"], time=NOW + 150),
        call(of["call"], NOW + 1, NOW + 400),
    ]
    assert pauses_of(stages.apply(batch(events)))[-1] == (PART, 0, None)


def test_collectors_have_short_names() -> None:
    operations = ("ParallelGCFailedAllocation", "ZMarkStartYoung", "ICBufferFull", "")
    assert [label_of(name) for name in operations] == [
        "Parallel GC pause", "ZGC pause", "ICBufferFull", "safepoint",
    ]  # fmt: skip

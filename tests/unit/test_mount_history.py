"""The history of mounts splits calls of simulated virtual threads exactly, or says nothing: also if records
are missing or repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from jcollect.layout.threads import (
    CALL_PART_CPU,
    CALL_PART_UNMOUNTED,
    THREAD_KIND_BLOCKED,
    THREAD_KIND_MOUNTED,
    THREAD_KIND_RUNNING,
    THREAD_KIND_UNMOUNTED,
    THREAD_KIND_WOKEN,
    ThreadRecord,
)
from jcollect.sources.threads.history import ThreadHistory

CARRIERS = (11, 12, 13)
THREADS = 7
PROCESS = 5
BEGIN = 1_000_000_000
BOTH = CALL_PART_CPU | CALL_PART_UNMOUNTED
SHARES = ("on_cpu", "run_queue", "off_cpu", "unmounted")


@dataclass(frozen=True)
class Call:
    thread: int
    carrier: int
    start: int
    end: int
    unmounted: int


@dataclass
class Program:
    """Virtual threads that take turns on carriers, and the calls that they make."""

    records: list[ThreadRecord] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def put(self, time: int, carrier: int, kind: int, thread: int = 0) -> None:
        number = PROCESS if thread else 0
        self.records.append(ThreadRecord(time=time, tid=carrier, kind=kind, value=thread, number=number))

    def run(self, chance: random.Random, turns: int) -> None:
        now = BEGIN
        # Of each thread: the starts of its open calls with its unmounted time by then, and when it has left.
        starts: dict[int, list[tuple[int, int]]] = {thread: [] for thread in range(1, THREADS + 1)}
        total = dict.fromkeys(starts, 0)
        left: dict[int, int] = {}
        for _ in range(turns):
            now += chance.randrange(1, 50_000)
            thread, carrier = chance.randrange(1, THREADS + 1), chance.choice(CARRIERS)
            self.put(now, carrier, THREAD_KIND_MOUNTED, thread)
            if thread in left:
                total[thread] += now - left[thread]
            for _ in range(chance.randrange(4)):
                now += chance.randrange(1, 50_000)
                if starts[thread] and chance.random() < 0.5:
                    start, before = starts[thread].pop()
                    self.calls.append(Call(thread, carrier, start, now, total[thread] - before))
                else:
                    starts[thread].append((now, total[thread]))
            now += chance.randrange(1, 50_000)
            self.put(now, carrier, THREAD_KIND_UNMOUNTED, thread)
            left[thread] = now


def check(history: ThreadHistory, calls: list[Call], process: int = PROCESS) -> int:
    """Asserts that each of the calls is split exactly, or not known. Returns the number of known ones."""
    count = len(calls)
    found = history.explain(
        BOTH,
        np.array([call.carrier for call in calls], np.uint32),
        np.array([call.start for call in calls], np.uint64),
        np.array([call.end - call.start for call in calls], np.uint64),
        np.zeros(count, np.uint64),
        np.ones(count, np.bool_),
        np.array([call.thread for call in calls], np.uint64),
        np.full(count, process, np.uint16),
    )
    known = 0
    for at, call in enumerate(calls):
        shares = {share: int(found[share][at]) for share in SHARES}
        if int(found["known"][at]) & CALL_PART_UNMOUNTED:
            known += 1
            assert shares["unmounted"] == call.unmounted, call
            assert sum(shares.values()) == call.end - call.start
        else:
            assert not any(shares.values())
    return known


def simulated(seed: int, turns: int = 2_000) -> Program:
    program = Program()
    program.run(random.Random(seed), turns)
    return program


def test_calls_are_split_exactly() -> None:
    program, history = simulated(1), ThreadHistory(64, 1 << 14, 1 << 14)
    for record in program.records:
        history.add(record)
    assert len(program.calls) > 500
    assert check(history, program.calls) == len(program.calls)
    assert any(call.unmounted for call in program.calls)


@pytest.mark.parametrize("seed", range(2, 42))
def test_a_missing_or_repeated_record_makes_no_split_wrong(seed: int) -> None:
    program, chance = simulated(seed, 200), random.Random(seed)
    at = chance.randrange(len(program.records))
    if seed % 2:
        program.records.insert(at, program.records[at])
    else:
        program.records.pop(at)
    history = ThreadHistory(64, 1 << 14, 1 << 14)
    known, waiting = 0, sorted(program.calls, key=lambda call: call.end)
    for record in program.records:
        # A call is explained when the records up to its end are read.
        while waiting and waiting[0].end < record.time:
            known += check(history, [waiting.pop(0)])
        history.add(record)
    assert known > len(program.calls) / 2


def test_of_the_time_when_records_were_lost_nothing_is_known() -> None:
    program, history = simulated(43), ThreadHistory(64, 1 << 14, 1 << 14)
    for record in program.records:
        history.add(record)
    middle = program.records[len(program.records) // 2].time
    history.lose(middle, middle + 10)
    over = [call for call in program.calls if call.start <= middle <= call.end]
    assert over
    assert check(history, over) == 0
    assert check(history, program.calls) == len(program.calls) - len(
        [call for call in program.calls if call.start <= middle + 10 and middle <= call.end]
    )


def test_another_process_or_carrier_is_not_taken_for_the_calls_own() -> None:
    program, history = simulated(44), ThreadHistory(64, 1 << 14, 1 << 14)
    for record in program.records:
        history.add(record)
    assert check(history, program.calls, PROCESS + 1) == 0
    assert check(history, program.calls, 0) == 0
    others = [Call(c.thread, 14, c.start, c.end, c.unmounted) for c in program.calls]
    assert check(history, others) == 0
    nobodys = [Call(c.thread, 0, c.start, c.end, c.unmounted) for c in program.calls]
    assert check(history, nobodys) == 0


def test_overwritten_mounts_are_not_known() -> None:
    program, history = simulated(45), ThreadHistory(64, 1 << 14, 64)
    for record in program.records:
        history.add(record)
    assert 0 < check(history, program.calls) < len(program.calls) / 2


def test_a_carrier_that_waits_is_off_the_cpu_and_not_unmounted() -> None:
    program, history = Program(), ThreadHistory(64, 1 << 14, 1 << 14)
    program.put(BEGIN, 11, THREAD_KIND_MOUNTED, 1)
    program.put(BEGIN + 1_000_000, 11, THREAD_KIND_BLOCKED)
    program.put(BEGIN + 2_000_000, 11, THREAD_KIND_WOKEN)
    program.put(BEGIN + 2_300_000, 11, THREAD_KIND_RUNNING)
    program.put(BEGIN + 3_000_000, 11, THREAD_KIND_UNMOUNTED, 1)
    # The carrier's work in the meantime is not the thread's.
    program.put(BEGIN + 4_000_000, 11, THREAD_KIND_BLOCKED)
    program.put(BEGIN + 5_000_000, 12, THREAD_KIND_MOUNTED, 1)
    for record in program.records:
        history.add(record)
    found = history.explain(
        BOTH,
        np.array([12], np.uint32),
        np.array([BEGIN + 500_000], np.uint64),
        np.array([6_000_000], np.uint64),
        np.zeros(1, np.uint64),
        np.ones(1, np.bool_),
        np.array([1], np.uint64),
        np.array([PROCESS], np.uint16),
    )
    assert found["known"][0] == BOTH
    assert [found[share][0] for share in SHARES] == [2_700_000, 300_000, 1_000_000, 2_000_000]

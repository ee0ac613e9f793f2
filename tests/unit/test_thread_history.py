"""The history of threads says of a call what a simulated thread did in it, or that it is not known."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from jcollect.layout.threads import (
    CALL_PART_CPU,
    CALL_PART_FAULTS,
    CALL_PART_SYSCALLS,
    THREAD_KIND_BLOCKED,
    THREAD_KIND_ENTERED,
    THREAD_KIND_EXITED,
    THREAD_KIND_FAULT,
    THREAD_KIND_PREEMPTED,
    THREAD_KIND_RUNNING,
    THREAD_KIND_SYSCALL,
    THREAD_KIND_WOKEN,
    ThreadRecord,
)
from jcollect.sources.threads.history import ThreadHistory
from layout_headers import INCLUDE_LAYOUTS

ROOT = Path(__file__).parents[2]
ALL = CALL_PART_CPU | CALL_PART_FAULTS | CALL_PART_SYSCALLS
# The scheduler's clock is behind CLOCK_MONOTONIC by this.
OFFSET = 123_456_789
# Beyond the slack of the clocks, in which a thread that has not begun to run counts as running.
STEP = 20_000
BEGIN = 1_000_000_000_000
ON, QUEUED, OFF = "on", "queued", "off"
FUTEX, READ = 202, 0


@dataclass
class Thread:
    """The history of one thread: spans of time by state, and events with their times."""

    tid: int
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    records: list[tuple[int, ThreadRecord]] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    # End, duration, number.
    calls: list[tuple[int, int, int]] = field(default_factory=list)

    def put(self, time: int, kind: int, value: int = 0, number: int = 0) -> None:
        record = ThreadRecord(time=time, tid=self.tid, kind=kind, value=value, number=number)
        self.records.append((time, record))

    def live(self, chance: random.Random, turns: int) -> None:
        """Runs, blocks, is preempted. It runs when its process begins to be watched, and at the end."""
        now, arrived = BEGIN, BEGIN - 5_000_000
        for turn in range(turns + 1):
            began, now = now, now + chance.randrange(3 * STEP, 50 * STEP)
            self.spans.append((began, now, ON))
            for _ in range(chance.randrange(3)):
                at = chance.randrange(began + 1, now)
                if chance.random() < 0.5:
                    self.faults.append(at)
                    self.put(at, THREAD_KIND_FAULT)
            if chance.random() < 0.5:
                self.end_syscall(now - 1, (now - began) // 2, READ)
            if turn == turns:
                break
            is_preempted = chance.random() < 0.4
            kind = THREAD_KIND_PREEMPTED if is_preempted else THREAD_KIND_BLOCKED
            self.put(now, kind, arrived - OFFSET)
            left = now
            if not is_preempted:
                began, now = now, now + chance.randrange(STEP, 200 * STEP)
                self.spans.append((began, now, OFF))
                self.put(now, THREAD_KIND_WOKEN)
            began, now = now, now + chance.randrange(STEP, 40 * STEP)
            self.spans.append((began, now, QUEUED))
            self.put(now, THREAD_KIND_RUNNING)
            arrived = now
            if not is_preempted:
                self.end_syscall(now + 1, now - left, FUTEX)
        self.records.sort(key=lambda record: record[0])

    def end_syscall(self, end: int, duration: int, number: int) -> None:
        self.calls.append((end, duration, number))
        self.put(end - duration, THREAD_KIND_ENTERED, number=number)
        self.put(end, THREAD_KIND_SYSCALL)
        # A trap has no beginning.
        self.put(end + 1, THREAD_KIND_SYSCALL)

    def time_in(self, state: str, start: int, end: int) -> int:
        return sum(max(0, min(b, end) - max(a, start)) for a, b, of in self.spans if of == state)

    def moment_on(self, chance: random.Random, after: int = 0) -> int | None:
        """Returns a moment at which it runs."""
        spans = [(a, b) for a, b, of in self.spans if of == ON and b - 2 > after]
        if not spans:
            return None
        a, b = chance.choice(spans)
        return chance.randrange(max(a + 2, after), b - 1)


def lives(chance: random.Random, threads: int, turns: int) -> list[Thread]:
    found = [Thread(100 + number) for number in range(threads)]
    for thread in found:
        thread.live(chance, turns)
    return found


def in_order(threads: list[Thread]) -> list[ThreadRecord]:
    merged = [record for thread in threads for record in thread.records]
    return [record for _, record in sorted(merged, key=lambda each: each[0])]


def check(history: ThreadHistory, threads: list[Thread], chance: random.Random, calls: int) -> list[int]:
    """Explains random calls. Each number that is said to be known is exact. Returns the parts that are known
    of each call."""
    chosen = []
    while len(chosen) < calls:
        thread = chance.choice(threads)
        start = thread.moment_on(chance)
        end = None if start is None else thread.moment_on(chance, start)
        if start is not None and end is not None:
            chosen.append((thread, start, end))
    found = history.explain(
        ALL,
        np.array([thread.tid for thread, _, _ in chosen], np.uint32),
        np.array([start for _, start, _ in chosen], np.uint64),
        np.array([end - start for _, start, end in chosen], np.uint64),
        np.full(calls, BEGIN, np.uint64),
        np.zeros(calls, np.bool_),
    )
    for at, (thread, start, end) in enumerate(chosen):
        known = int(found["known"][at])
        if known & CALL_PART_CPU:
            shares = [int(found[name][at]) for name in ("on_cpu", "run_queue", "off_cpu")]
            assert shares == [thread.time_in(state, start, end) for state in (ON, QUEUED, OFF)]
            left = [(a, of) for a, _, of in thread.spans if of != ON and start < a < end]
            assert found["voluntary"][at] == sum(of == OFF for _, of in left)
            woken = {b for _, b, of in thread.spans if of == OFF}
            assert found["involuntary"][at] == sum(of == QUEUED and a not in woken for a, of in left)
        if known & CALL_PART_FAULTS:
            assert found["faults"][at] == sum(start < fault <= end for fault in thread.faults)
        if known & CALL_PART_SYSCALLS:
            ended = [call for call in thread.calls if start < call[0] <= end]
            assert found["syscalls"][at] == len(ended)
            assert found["syscall_nanos"][at] == sum(duration for _, duration, _ in ended)
            totals = {number: sum(d for _, d, of in ended if of == number) for _, _, number in ended}
            top = int(found["top_syscall"][at])
            assert found["top_nanos"][at] == max(totals.values(), default=0)
            assert not totals if top == 0 else totals[top - 1] == found["top_nanos"][at]
    return [int(known) for known in found["known"]]


@pytest.mark.parametrize("seed", range(2))
def test_every_call_of_a_complete_history_is_known_exactly(seed: int) -> None:
    chance = random.Random(seed)
    threads = lives(chance, 5, 200)
    history = ThreadHistory(1 << 10)
    for record in in_order(threads):
        history.add(record)
    assert check(history, threads, chance, 300) == [ALL] * 300
    assert history.broken == 0


@pytest.mark.parametrize("seed", range(2))
def test_what_the_log_does_not_hold_any_more_is_not_known(seed: int) -> None:
    chance = random.Random(seed)
    threads = lives(chance, 5, 300)
    history = ThreadHistory(1 << 10, 1 << 10)
    for record in in_order(threads):
        history.add(record)
    known = check(history, threads, chance, 300)
    assert 0 < known.count(ALL) < 150
    assert known.count(ALL) + known.count(0) == 300


@pytest.mark.parametrize("seed", range(2))
def test_lost_records_make_no_number_wrong(seed: int) -> None:
    chance = random.Random(seed)
    threads = lives(chance, 5, 300)
    history = ThreadHistory(1 << 10)
    records = in_order(threads)
    lost = sorted(chance.sample(range(0, len(records), 100), 8))
    for at, record in enumerate(records):
        begins = [first for first in lost if first <= at < first + 60]
        if not begins:
            history.add(record)
        elif at == begins[0] + 59:
            history.lose(int(records[begins[0]].time), int(record.time))
    known = check(history, threads, chance, 300)
    assert known.count(ALL) > 20


@pytest.mark.parametrize("seed", range(2))
def test_switches_that_no_tracepoint_reports_make_no_number_wrong(seed: int) -> None:
    """The next switch away from the CPU says since when the thread had it."""
    chance = random.Random(seed)
    threads = lives(chance, 5, 300)
    history = ThreadHistory(1 << 10)
    missing = 0
    for record in in_order(threads):
        if record.kind == THREAD_KIND_RUNNING and history.records > 100 and chance.random() < 0.05:
            missing += 1
        else:
            history.add(record)
    known = check(history, threads, chance, 300)
    assert history.broken > missing / 2
    assert history.repaired > 0.9 * history.broken
    assert known.count(ALL) > 100


def explained(history: ThreadHistory, tid: int, start: int, duration: int, virtual: bool = False) -> int:
    found = history.explain(
        ALL,
        np.array([tid], np.uint32),
        np.array([start], np.uint64),
        np.array([duration], np.uint64),
        np.array([BEGIN], np.uint64),
        np.array([virtual]),
    )
    return int(found["known"][0])


def test_a_thread_without_records_has_run_since_its_process_is_watched() -> None:
    history = ThreadHistory(1 << 10)
    assert explained(history, 7, BEGIN, 1_000) == ALL
    assert explained(history, 7, BEGIN - 1, 1_000) == 0
    assert explained(history, 7, 0, 1_000) == 0
    assert explained(history, 7, BEGIN, 1_000, virtual=True) == 0
    assert explained(history, 7, (1 << 64) - 10, 1_000) == 0


@pytest.mark.parametrize("tid", [0, 1 << 10, (1 << 32) - 1])
def test_nothing_is_known_of_a_thread_whose_id_is_not_known(tid: int) -> None:
    history = ThreadHistory(1 << 10)
    history.add(ThreadRecord(time=BEGIN, tid=tid, kind=THREAD_KIND_FAULT))
    assert explained(history, tid, BEGIN, 1_000) == 0


def test_a_thread_id_that_is_used_again_begins_anew() -> None:
    history = ThreadHistory(1 << 10)
    for time, kind in (
        (10_000, THREAD_KIND_EXITED),
        (9_000_000, THREAD_KIND_WOKEN),
        (9_100_000, THREAD_KIND_RUNNING),
    ):
        history.add(ThreadRecord(time=BEGIN + time, tid=7, kind=kind))
    assert explained(history, 7, BEGIN + 9_200_000, 50_000) == ALL


def test_records_that_no_program_writes_change_nothing() -> None:
    history = ThreadHistory(1 << 10)
    for kind in (0, 11, 0xFFFF):
        history.add(ThreadRecord(time=BEGIN, tid=7, kind=kind))
    assert explained(history, 7, BEGIN, 1_000) == ALL


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a program that explains calls among records of any content, under ASan and UBSan."""
    program = tmp_path_factory.mktemp("threads") / "explain_threads"
    source = Path(__file__).with_name("explain_threads.c")
    flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    sanitizers = "-fno-sanitize-recover=all"
    code = [ROOT / "collector/jcollect/sources/records/c" / file for file in ("threads.c", "mounts.c")]
    subprocess.run(["gcc", *flags, sanitizers, INCLUDE_LAYOUTS, "-o", program, source, *code], check=True)
    return program


@pytest.mark.parametrize(("marks", "threads"), [(16, 2), (64, 3), (1024, 2), (4096, 20), (1 << 18, 5)])
def test_records_of_any_content_are_read_within_the_memory(sanitized: Path, marks: int, threads: int) -> None:
    for seed in (1,):
        done = subprocess.run(
            [sanitized, str(seed), str(marks), str(threads)], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert int(done.stdout) > 0

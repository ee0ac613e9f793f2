"""No records of threads, in any order and with any gap, make the history say something wrong, or break it."""

from __future__ import annotations

import random
import struct
import subprocess
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_thread_history import ALL, BEGIN, OFF, ON, QUEUED, Thread, explained, in_order, lives

from jcollect.errors import JcollectError
from jcollect.layout.drain import DRAIN_DONE, DRAIN_MORE, DRAIN_TORN, RingMemory
from jcollect.layout.record import RING_HEADER_SIZE
from jcollect.layout.threads import (
    CALL_PART_CPU,
    CALL_PART_FAULTS,
    CALL_PART_SYSCALLS,
    THREAD_KIND_BLOCKED,
    THREAD_KIND_ENTERED,
    THREAD_KIND_FAULT,
    THREAD_KIND_PREEMPTED,
    THREAD_KIND_RUNNING,
    THREAD_KIND_SYSCALL,
    THREAD_KIND_WOKEN,
    THREAD_RECORD_SIZE,
    ThreadRecord,
)
from jcollect.sources.threads.history import ThreadHistory
from layout_headers import INCLUDE_LAYOUTS
from ring_image import BUSY, DISCARDED, RingImage, header

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "collector/jcollect/sources/records/c"
TIDS, MARKS = 1 << 8, 1 << 6
# A call's clock and the kernel's differ by less at either end.
SLACK = 2 * 5_000
RESULTS = ("known", "on_cpu", "run_queue", "off_cpu", "voluntary", "involuntary", "faults", "syscalls",
           "syscall_nanos", "top_syscall", "top_nanos")  # fmt: skip


def explain(history: ThreadHistory, calls: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Explains calls, each given by its thread, start and duration."""
    tids, starts, durations = zip(*calls, strict=True)
    return history.explain(
        ALL,
        np.array(tids, np.uint32),
        np.array(starts, np.uint64),
        np.array(durations, np.uint64),
        np.full(len(calls), BEGIN, np.uint64),
        np.zeros(len(calls), np.bool_),
    )


def calls_anywhere(chance: random.Random, threads: list[Thread], count: int) -> list[tuple[Thread, int, int]]:
    """Returns calls that begin and end at any moment, but not in a system call: Java code makes them."""
    found: list[tuple[Thread, int, int]] = []
    busy = {thread.tid: sorted((end - took, end) for end, took, _ in thread.calls) for thread in threads}
    while len(found) < count:
        thread = chance.choice(threads)
        start, end = sorted(chance.randrange(BEGIN, thread.spans[-1][1] - 1) for _ in range(2))
        before = bisect_right(busy[thread.tid], (start, 1 << 63)) - 1
        if before < 0 or busy[thread.tid][before][1] < start:
            found.append((thread, start, end))
    return found


def idle_thread(chance: random.Random, end: int) -> Thread:
    """Returns a thread that only has page faults, a few and far between: all of its marks are overwritten by
    those of the others."""
    idle = Thread(200, spans=[(BEGIN, end, ON)])
    for part in range(8):
        step = (end - BEGIN) // 8
        idle.faults.append(BEGIN + part * step + chance.randrange(1, step))
        idle.put(idle.faults[-1], THREAD_KIND_FAULT)
    return idle


def check_anywhere(history: ThreadHistory, threads: list[Thread], chance: random.Random) -> list[int]:
    """Each number of a random call that is said to be known is right: times up to the slack of the clocks.
    Returns the parts that are known of each call."""
    calls = calls_anywhere(chance, threads, 400)
    found = explain(history, [(thread.tid, start, end - start) for thread, start, end in calls])
    for at, (thread, start, end) in enumerate(calls):
        known = int(found["known"][at])
        if known & CALL_PART_CPU:
            shares = [int(found[name][at]) for name in ("on_cpu", "run_queue", "off_cpu")]
            assert sum(shares) == end - start
            for share, state in zip(shares, (ON, QUEUED, OFF), strict=True):
                assert abs(share - thread.time_in(state, start, end)) <= SLACK
        if known & CALL_PART_FAULTS:
            assert found["faults"][at] == sum(start < fault <= end for fault in thread.faults)
        if known & CALL_PART_SYSCALLS:
            ended = [took for ended_at, took, _ in thread.calls if start < ended_at <= end]
            assert found["syscalls"][at] == len(ended)
            assert found["syscall_nanos"][at] == sum(ended)
    return [int(known) for known in found["known"]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("marks", [1 << 8, 1 << 16], ids=["tiny log", "log"])
def test_calls_anywhere_of_a_history_with_every_gap(seed: int, marks: int) -> None:
    """Switches are missing, records are lost, and marks are overwritten, all at once."""
    chance = random.Random(seed)
    threads = lives(chance, 4, 250)
    threads.append(idle_thread(chance, max(thread.spans[-1][1] for thread in threads)))
    records = in_order(threads)
    lost = sorted(chance.sample(range(300, len(records) - 100), 4))
    history = ThreadHistory(1 << 10, marks)
    for at, record in enumerate(records):
        begins = [first for first in lost if first <= at < first + 40]
        if not begins and (record.kind != THREAD_KIND_RUNNING or at < 200 or chance.random() > 0.03):
            history.add(record)
        elif begins and at == begins[-1] + 39:
            history.lose(int(records[begins[0]].time), int(record.time))
    known = check_anywhere(history, threads, chance)
    assert known.count(0) > 10
    assert any(known)
    assert marks == 1 << 8 or any(part & CALL_PART_CPU for part in known)


def put(history: ThreadHistory, tid: int, *happened: tuple[int, int]) -> None:
    for time, kind in happened:
        history.add(ThreadRecord(time=BEGIN + time, tid=tid, kind=kind))


def test_of_a_thread_whose_marks_were_all_overwritten_nothing_before_is_known() -> None:
    history = ThreadHistory(TIDS, 1 << 10)
    put(history, 7, *((1_000 + number, THREAD_KIND_FAULT) for number in range(3)))
    put(history, 8, *((100_000 + number, THREAD_KIND_FAULT) for number in range(1 << 11)))
    put(history, 7, (200_000, THREAD_KIND_FAULT))
    assert explained(history, 7, BEGIN + 500, 300_000) == 0
    later = explain(history, [(7, BEGIN + 200_001, 50)])
    assert int(later["known"][0]) == CALL_PART_FAULTS | CALL_PART_SYSCALLS
    assert later["faults"][0] == 0


def test_a_fault_right_after_the_thread_has_begun_to_run_is_counted() -> None:
    """The call's clock is before that of the kernel, by which the thread is still in the run queue."""
    history = ThreadHistory(TIDS)
    put(history, 7, (0, THREAD_KIND_PREEMPTED), (100_000, THREAD_KIND_RUNNING))
    put(history, 7, (102_000, THREAD_KIND_FAULT), (200_000, THREAD_KIND_FAULT))
    found = explain(history, [(7, BEGIN + 99_000, 200_000)])
    assert [int(found[name][0]) for name in ("known", "faults", "on_cpu", "run_queue")] == [
        ALL,
        2,
        200_000,
        0,
    ]


def random_record(chance: random.Random, time: int) -> bytes:
    kind = chance.choice([
        THREAD_KIND_PREEMPTED, THREAD_KIND_BLOCKED, THREAD_KIND_WOKEN, THREAD_KIND_RUNNING,
        THREAD_KIND_FAULT, THREAD_KIND_SYSCALL, THREAD_KIND_ENTERED, chance.randrange(1 << 16),
    ])  # fmt: skip
    value = chance.choice([0, 1, time - 1_000, time, chance.randrange(1 << 64)])
    tid = chance.choice([1, 2, 3, TIDS - 1, TIDS, chance.randrange(1 << 32)])
    at = chance.choice([time, time, time, time - 100, 0, chance.randrange(1 << 64)])
    return bytes(ThreadRecord(time=at, value=value, tid=tid, number=chance.randrange(1 << 16), kind=kind))


def random_ring(chance: random.Random, time: int) -> tuple[bytes, int, int]:
    """Returns a ring buffer's content and positions: mostly those of a kernel."""
    count = chance.choice([1, 2, 16, 64])
    size = RING_HEADER_SIZE + THREAD_RECORD_SIZE
    data = b""
    for number in range(count):
        length = THREAD_RECORD_SIZE if chance.random() < 0.99 else chance.randrange(1 << 29)
        head = chance.choices([0, DISCARDED, BUSY], [96, 3, 1])[0]
        data += header(length, head) + random_record(chance, time + 1_000 * number)
    consumer = size * chance.randrange(1 << 20) if chance.random() < 0.95 else chance.randrange(1 << 64)
    used = size * chance.randrange(count + 1) if chance.random() < 0.95 else chance.randrange(1 << 64)
    return data, consumer, (consumer + used) % (1 << 64)


def random_calls(chance: random.Random, time: int) -> list[tuple[int, int, int]]:
    return [
        (
            chance.choice([0, 1, 2, 3, TIDS - 1, TIDS, (1 << 32) - 1]),
            chance.choice([0, time, time + chance.randrange(64_000), chance.randrange(1 << 64)]),
            chance.choice([0, 1, chance.randrange(100_000), chance.randrange(1 << 64)]),
        )
        for _ in range(20)
    ]


def test_it_is_clean_under_the_sanitizers(tmp_path: Path) -> None:
    """Reads ring buffers with any content, each in memory of exactly its size, loses records, explains calls,
    and says the same as the library. The parts of what is known add up."""
    program = tmp_path / "thread_records"
    command = ["gcc", "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion"]
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program]
    sources = [Path(__file__).with_name("thread_records.c"), SOURCES / "threads.c", SOURCES / "mounts.c"]
    subprocess.run([*command, INCLUDE_LAYOUTS, f"-I{SOURCES}", *options, *sources], check=True)
    chance = random.Random(104729)
    history = ThreadHistory(TIDS, MARKS)
    sent, expected, whole = struct.pack("<2Q", TIDS, MARKS), [], 0
    for number in range(499):
        time = BEGIN + number * 50_000
        data, consumer, producer = random_ring(chance, time)
        losses = [(time, time + 10_000)] if chance.random() < 0.1 else []
        calls = random_calls(chance, time)
        columns = [
            np.array(column, kind).tobytes()
            for column, kind in zip(zip(*calls, strict=True), (np.uint32, np.uint64, np.uint64), strict=True)
        ]
        sent += struct.pack("<3Q", len(data), len(losses), len(calls))
        sent += struct.pack("<2Q", consumer, producer) + data
        sent += b"".join(struct.pack("<2Q", *span) for span in losses) + b"".join(columns)
        sent += struct.pack(f"<{len(calls)}Q", *[BEGIN] * len(calls)) + bytes(len(calls))
        expected.append(str(read_whole(history, data, consumer, producer)))
        for begin, end in losses:
            history.lose(begin, end)
        found = explain(history, calls)
        expected += [" ".join(str(found[name][at]) for name in RESULTS) for at in range(len(calls))]
        for at, (_, _, duration) in enumerate(calls):
            if int(found["known"][at]) & CALL_PART_CPU:
                whole += 1
                shares = [int(found[name][at]) for name in ("on_cpu", "run_queue", "off_cpu")]
                assert sum(shares) % (1 << 64) == duration
    done = subprocess.run([program], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == expected
    assert whole > 100


def read_whole(history: ThreadHistory, data: bytes, consumer: int, producer: int) -> int:
    """Reads a ring buffer in memory of exactly its size; returns what the library's function does."""
    memory = np.frombuffer(bytearray(data), np.uint8)
    positions = np.array([consumer, producer], np.uint64)
    at = positions.ctypes.data
    ring = RingMemory(consumer=at, producer=at + 8, data=memory.ctypes.data, bytes=len(data))
    try:
        return DRAIN_DONE if history.read(ring) else DRAIN_MORE
    except JcollectError:
        return DRAIN_TORN


def test_a_record_that_is_still_being_written_hides_those_behind_it() -> None:
    whole = header(THREAD_RECORD_SIZE) + random_record(random.Random(1), BEGIN)
    busy = header(THREAD_RECORD_SIZE, BUSY) + bytes(THREAD_RECORD_SIZE)
    history = ThreadHistory(TIDS)
    with RingImage(whole, busy, whole) as image:
        assert not history.read(image.ring.memory)
        assert history.records == 1
        assert image.consumer == len(whole)


def test_a_corrupted_ring_buffer_is_an_error() -> None:
    with (
        RingImage(header(THREAD_RECORD_SIZE + 8) + bytes(THREAD_RECORD_SIZE + 8)) as image,
        pytest.raises(JcollectError, match="the ring buffer is corrupted; attach again"),
    ):
        ThreadHistory(TIDS).read(image.ring.memory)

"""Reads pools of the direct lane, written by the test as an agent's threads do, and by hostile processes."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic_ns

import numpy as np
import pytest
from test_drain import CAPACITY, PROBES, Event, events_of, new_decoder

from jcollect.layout.direct import (
    CHUNK_STATE_CLOSED,
    CHUNK_STATE_FREE,
    CHUNK_STATE_OPEN,
    DIRECT_CHUNK_BYTES,
    DIRECT_CHUNK_SIZE,
    DIRECT_LARGE_CHUNK_BYTES,
    DIRECT_POOL_FREE_SMALL,
    DIRECT_POOL_MODE,
    DIRECT_POOL_OVERWRITTEN,
    DIRECT_POOL_SIZE,
    DirectPool,
)
from jcollect.layout.drain import NUMBER_PAGE_MOST, NUMBER_PAGE_SIZE
from jcollect.layout.record import RING_HEADER_SIZE
from jcollect.procfs.process import Process
from jcollect.procfs.status import ProcessStatus
from jcollect.sources.base import ALWAYS
from jcollect.sources.direct.numbers import Numbers
from jcollect.sources.direct.pool import InUseError, Pool
from jcollect.sources.direct.pools import PoolSet
from jcollect.sources.direct.thread_ids import ThreadIds
from layout_headers import INCLUDE_LAYOUTS
from pool_image import PoolImage, RingThread, direct_record
from processes import ourselves
from ring_image import string

ROOT = Path(__file__).resolve().parents[2]
C = ROOT / "collector/jcollect/sources/records/c"
# The number in the process of the probe with ID 0.
FIRST = 1000
PLACED, RETURNED, WIDE = 0, 1, 9


def numbers() -> Numbers:
    found = Numbers()
    for number in range(len(PROBES)):
        found.set(FIRST + number, number)
    return found


class Reading:
    """A decoder that reads pools."""

    def __init__(self, *images: PoolImage, is_new: bool = True, **limits: int) -> None:
        self.decoder = new_decoder(**limits)
        self.set = PoolSet()
        self.pools = [Pool.open(ourselves(), each.descriptor, numbers(), is_new) for each in images]
        for pool in self.pools:
            self.set.add(pool)

    def drain(self, until: int = ALWAYS) -> tuple[list[Event], list[int]]:
        """Returns the events and the IDs of malformed records, of as many drains as it takes."""
        events: list[Event] = []
        malformed: list[int] = []
        while True:
            drained = self.decoder.drain_pools(self.set.memory, until)
            self.set.tidy()
            batch = drained.batch
            events += events_of(batch.columns, batch.value_counts.tolist(), batch.text_sizes.tolist())
            malformed += drained.malformed.tolist()
            if not drained.more:
                return events, malformed

    @property
    def foreign(self) -> int:
        return self.set.foreign

    def close(self) -> None:
        self.set.close()


@contextlib.contextmanager
def reading(image: PoolImage, is_new: bool = True, **limits: int) -> Iterator[Reading]:
    reader = Reading(image, is_new=is_new, **limits)
    try:
        yield reader
    finally:
        reader.close()
        image.close()


def returned(time: int, value: int = 0) -> bytes:
    return direct_record(FIRST + RETURNED, [time, value, 9], time=time)


def placed(time: int, text: bytes) -> bytes:
    return direct_record(FIRST + PLACED, [5, string(len(text)), 9], text, time=time)


def large(time: int) -> bytes:
    number = next(i for i, probe in enumerate(PROBES) if len(probe.values) == 12 and probe.first_value == 0)
    text = b"x" * 1000 * 12
    return direct_record(FIRST + number, [*[string(1000)] * 12, 9], text, time=time)


def times_of(events: Sequence[Event]) -> list[int]:
    return [event.time for event in events]


def test_an_event_has_its_probe_its_words_its_text_and_the_thread_of_its_chunk() -> None:
    with reading(image := PoolImage()) as reader:
        RingThread(image, tid=4242).put(placed(7, b"abc"))
        events, malformed = reader.drain()
        assert malformed == []
        assert events == [Event(7, PLACED, 4242, 9, 0, (5, string(3)), b"abc")]
        assert reader.drain() == ([], []), "each event once"


@pytest.mark.parametrize("most_events", [1, 3, 4096])
def test_events_of_many_threads_come_in_the_order_of_their_times(most_events: int) -> None:
    dice = np.random.default_rng(most_events)
    with reading(image := PoolImage(small=64, large=16), most_events=most_events) as reader:
        threads = [RingThread(image, tid) for tid in range(1, 8)]
        written: list[int] = []
        read: list[int] = []
        for time in range(1, 2004):
            thread = threads[dice.integers(len(threads))]
            assert thread.put(large(time) if dice.integers(100) == 0 else returned(time))
            written.append(time)
            if dice.integers(200) == 0:
                events, malformed = reader.drain(time - 5)
                assert malformed == []
                assert times_of(events) == [each for each in written[len(read) :] if each <= time - 5]
                read += times_of(events)
        for thread in threads:
            thread.end()
        assert read + times_of(reader.drain()[0]) == written
        assert reader.decoder.out_of_order == 0
        reader.drain()
        assert sorted(image.free()) == list(range(64)), "all chunks are given back"
        assert sorted(image.free(is_large=True)) == list(range(64, 80))
        assert reader.set.gaps == 0


def test_lost_events_are_gaps_in_the_numbers_of_the_rings() -> None:
    dice = np.random.default_rng(3)
    with reading(image := PoolImage(small=4, large=1)) as reader:
        threads = [RingThread(image, tid) for tid in (1, 2, 3)]
        kept = 0
        for time in range(1, 5000):
            thread = threads[dice.integers(3)]
            kept += thread.put(large(time) if time % 97 == 0 else returned(time))
            if time % 701 == 0:
                kept -= len(reader.drain()[0])
        # After a last event of each ring there is no loss that leaves no gap.
        for thread in threads:
            thread.end()
        kept -= len(reader.drain()[0])
        for thread in threads:
            for body in (returned(5000), large(5000)):
                assert thread.put(body)
                thread.end()
                kept += 1 - len(reader.drain()[0])
        assert kept == 0
        lost = sum(thread.lost for thread in threads)
        assert lost > 1000
        assert reader.set.gaps == lost == reader.pools[0].lost


def test_a_new_reader_discards_what_was_there_before() -> None:
    image = PoolImage(small=4)
    thread = RingThread(image, 1)
    for time in range(150):
        thread.put(returned(time))
    with reading(image, is_new=False) as reader:
        thread.put(returned(150))
        assert times_of(reader.drain()[0]) == [150]
        assert reader.set.gaps == 0
        thread.end()
        reader.drain()
        assert sorted(image.free()) == [0, 1, 2, 3]


def test_a_reader_of_new_rings_reads_them_from_the_start() -> None:
    image = PoolImage()
    RingThread(image, 1).put(returned(3))
    with reading(image) as reader:
        assert times_of(reader.drain()[0]) == [3]


def test_memory_outlives_its_process_and_its_descriptor() -> None:
    image = PoolImage()
    thread = RingThread(image, 1)
    reader = Reading(image)
    thread.put(returned(1))
    image.close()
    assert times_of(reader.drain()[0]) == [1]
    reader.close()


def test_pools_of_several_processes_are_read_in_the_order_of_time() -> None:
    images = [PoolImage(), PoolImage(), PoolImage()]
    reader = Reading(*images)
    threads = [RingThread(image, 1) for image in images]
    for time in range(1, 101):
        threads[time % 3].put(returned(time))
    assert times_of(reader.drain()[0]) == list(range(1, 101))
    reader.close()
    for image in images:
        image.close()


def test_an_ended_pool_is_closed_once_it_is_read_to_the_end() -> None:
    image = PoolImage()
    reader = Reading(image)
    thread = RingThread(image, 1)
    thread.put(returned(1))
    reader.set.end(reader.pools[0])
    with pytest.raises(InUseError):
        Pool.open(ourselves(), image.descriptor, Numbers(), True)
    assert times_of(reader.drain()[0]) == [1]
    reader.drain()
    assert reader.set.memory.count == 0
    with reading(image, is_new=False):
        assert not reader.set.keep(reader.pools[0])


def test_an_ended_pool_that_is_used_again_stays() -> None:
    with reading(image := PoolImage()) as reader:
        reader.set.end(reader.pools[0])
        assert reader.set.keep(reader.pools[0])
        reader.drain()
        reader.drain()
        RingThread(image, 1).put(returned(1))
        assert times_of(reader.drain()[0]) == [1]


# Numbers of probes.


def test_numbers_that_are_far_apart_stand_for_their_ids() -> None:
    found = Numbers()
    wanted = {0: 7, 255: 1, 256: 2, 1_000_003: 3, NUMBER_PAGE_MOST - 1: 4}
    for number, probe in wanted.items():
        found.set(number, probe)

    def look_up(number: int) -> int:
        return int(found.ids[found.pages[number // NUMBER_PAGE_SIZE] * NUMBER_PAGE_SIZE + number % 256]) - 1

    assert {number: look_up(number) for number in wanted} == wanted
    assert look_up(1_000_004) == look_up(70_000) == -1
    found.remove(256, 2)
    found.remove(0, 6)
    assert (look_up(256), look_up(0)) == (-1, 7)
    with pytest.raises(ValueError, match="too large"):
        found.set(NUMBER_PAGE_MOST, 1)


@pytest.mark.parametrize("number", [0, 1, FIRST - 1, FIRST + len(PROBES), 1 << 24, (1 << 32) - 1])
def test_a_record_of_a_probe_that_is_not_traced_is_skipped_and_no_hit(number: int) -> None:
    with reading(image := PoolImage()) as reader:
        thread = RingThread(image, 1)
        thread.put(direct_record(number, [1, 2, 3], time=1))
        thread.put(returned(2))
        events, malformed = reader.drain()
        assert (times_of(events), malformed, reader.foreign) == ([2], [], 1)


# Threads.


def nested_process(inner: int) -> Process:
    pid = os.getpid()
    lines = f"Name:\t?\nTgid:\t{pid}\nNSpid:\t{pid}\t{inner}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"
    return Process(pid, os.pidfd_open(pid), ProcessStatus(lines.encode()), 0)


def test_thread_ids_of_another_namespace_are_translated_or_absent() -> None:
    assert not ThreadIds(ourselves()).is_nested
    nested = ThreadIds(nested_process(1))
    assert nested.is_nested
    # Those of this process are their own in its namespace.
    assert threading.get_native_id() in nested.own
    image = PoolImage()
    reader = Reading()
    pool = Pool.open(nested_process(1), image.descriptor, numbers(), True)
    reader.set.add(pool)
    RingThread(image, threading.get_native_id()).put(returned(1))
    RingThread(image, 0x7FFFFFFF).put(returned(2))
    assert [event.tid for event in reader.drain()[0]] == [threading.get_native_id(), 0]
    reader.close()
    image.close()


# Files that are no pools.


@pytest.mark.parametrize("seals", [0, 1 << 1 | 1 << 0, 1 << 2])
def test_a_file_that_may_shrink_is_not_read(seals: int) -> None:
    image = PoolImage(seals=seals)
    with pytest.raises(OSError, match="its size is not sealed"):
        Pool.open(ourselves(), image.descriptor, Numbers(), True)
    image.close()


def test_what_is_no_memfd_is_not_even_opened() -> None:
    reading_end, writing_end = os.pipe()
    for descriptor in (reading_end, os.open("/dev/null", os.O_RDWR), os.open(__file__, os.O_RDONLY)):
        with pytest.raises(OSError, match="it is no file in memory"):
            Pool.open(ourselves(), descriptor, Numbers(), True)
        os.close(descriptor)
    os.close(writing_end)
    with pytest.raises(FileNotFoundError):
        Pool.open(ourselves(), 1 << 20, Numbers(), True)


WORDS = [name for name, *_ in DirectPool._fields_ if name in
         {"version", "small_chunks", "large_chunks", "headers", "queue", "data"}]  # fmt: skip


@pytest.mark.parametrize("field", WORDS)
@pytest.mark.parametrize("value", [0, 1, 7, 63, 64, 4095, 4096, 1 << 16, 1 << 20, 1 << 31, (1 << 32) - 1])
def test_a_header_whose_parts_do_not_fit_is_rejected(field: str, value: int) -> None:
    image = PoolImage()
    before = getattr(DirectPool.from_buffer_copy(image.memory[:DIRECT_POOL_SIZE]), field)
    image.close()
    image = PoolImage(header={field: value})
    try:
        # Parts that fit may be elsewhere, or smaller.
        pool = Pool.open(ourselves(), image.descriptor, Numbers(), True)
    except OSError as error:
        assert error.errno == errno.EBADMSG  # noqa: PT017
        return
    finally:
        image.close()
    assert pool.memory.chunks <= 10
    assert value == before or field in {"small_chunks", "large_chunks", "queue", "headers", "data"}
    pool.close()


def test_a_file_that_is_too_short_is_rejected() -> None:
    for cut in (1, 4096, 65536):
        image = PoolImage(cut=cut)
        with pytest.raises(OSError, match="its parts"):
            Pool.open(ourselves(), image.descriptor, Numbers(), True)
        image.close()


# Hostile contents.


@pytest.mark.parametrize(
    "length", [0, 1, RING_HEADER_SIZE, DIRECT_CHUNK_BYTES, 1 << 29, 1 << 30, 1 << 31, (1 << 32) - 1]
)
def test_a_length_that_no_record_has_gives_up_the_rest_of_its_chunk(length: int) -> None:
    with reading(image := PoolImage()) as reader:
        thread = RingThread(image, 1)
        for time in (1, 2, 3):
            thread.put(returned(time))
        step = RING_HEADER_SIZE + len(returned(2))
        at = image.data_of(0) + step
        image.memory[at : at + 4] = struct.pack("<I", length)
        events, malformed = reader.drain()
        assert times_of(events)[:1] == [1]
        if length in (1, RING_HEADER_SIZE):
            assert malformed[0] == CAPACITY - 1, "shorter than a record, and the next header is anywhere"
        else:
            assert (times_of(events), malformed) == ([1], [CAPACITY - 1])
            assert reader.pools[0].memory.given_up == 1
        thread.put(returned(4))
        assert times_of(reader.drain()[0]) == [4]


@pytest.mark.parametrize("committed", [1, 7, 9, DIRECT_CHUNK_BYTES + 8, 1 << 31, (1 << 32) - 1])
def test_committed_is_bounded_by_the_chunk_and_rounded_down(committed: int) -> None:
    with reading(image := PoolImage()) as reader:
        thread = RingThread(image, 1)
        thread.put(returned(1))
        image.chunk(0).committed = committed
        image.chunk(0).state = CHUNK_STATE_CLOSED
        events, _ = reader.drain()
        assert len(events) == (committed > DIRECT_CHUNK_BYTES)
        assert image.chunk(0).state == CHUNK_STATE_FREE


def test_a_record_whose_strings_do_not_add_up_is_malformed() -> None:
    with reading(image := PoolImage()) as reader:
        thread = RingThread(image, 1)
        thread.put(direct_record(FIRST + PLACED, [5, string(4), 9], b"abc", time=1))
        thread.put(direct_record(FIRST + PLACED, [5, string(3), 9], b"abc", time=2, text_bytes=4))
        thread.put(direct_record(FIRST + PLACED, [5, string(3), 9], b"abc", time=3, flags=0x80))
        thread.put(direct_record(FIRST + PLACED, [5, string(3)], b"abc", time=4))
        thread.put(bytes(8))
        thread.put(placed(5, b"abc"))
        events, malformed = reader.drain()
        assert times_of(events) == [5]
        assert sorted(malformed) == [PLACED] * 4 + [CAPACITY - 1]


@pytest.mark.parametrize("time", [(1 << 64) - 1, 1 << 63, monotonic_ns() + 3600 * 10**9])
def test_a_record_from_the_future_is_malformed_and_holds_nothing_up(time: int) -> None:
    with reading(image := PoolImage()) as reader:
        thread = RingThread(image, 1)
        thread.put(returned(time))
        thread.put(returned(2))
        assert [each.time for each in reader.drain()[0]] == [2]
        assert reader.decoder.out_of_order == 0
        thread.put(returned(time))
        assert reader.drain() == ([], [RETURNED])


def test_numbers_that_come_later_reach_all_pools_of_the_process() -> None:
    image = PoolImage()
    reader = Reading(image)
    later = reader.pools[0].numbers
    for number in range(5000, 5000 + 40 * NUMBER_PAGE_SIZE, NUMBER_PAGE_SIZE):
        later.set(number, RETURNED)
    reader.set.update(later)
    RingThread(image, 1).put(direct_record(5000 + 39 * NUMBER_PAGE_SIZE, [1, 0, 9], time=1))
    assert [each.probe for each in reader.drain()[0]] == [RETURNED]
    reader.close()
    image.close()


def test_stacks_that_are_loops_or_lead_nowhere_hold_nothing_up() -> None:
    with reading(image := PoolImage()) as reader:
        for word in (0, 1, 5, 1 << 31, (1 << 64) - 1):
            for number in range(8):
                chunk = image.chunk(number)
                chunk.next, chunk.state, chunk.committed = number + 1, CHUNK_STATE_CLOSED, 0
                del chunk
            image.set_word(DIRECT_POOL_FREE_SMALL, word)
            assert reader.drain() == ([], [])


def test_a_chunk_that_is_overwritten_while_a_recorder_is_read_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jcollect.sources.records.decoder._MOST_RECORDS", 2)
    with reading(image := PoolImage()) as reader:
        pool = reader.pools[0]
        pool.record(0, on_throw=False)
        thread = RingThread(image, tid=1)
        for time in range(1, 6):
            thread.put(returned(time))
        assert (pool.oldest_time(), pool.youngest_time()) == (1, 5)
        pool.play(0, is_last=False)
        drained = reader.decoder.drain_pools(reader.set.memory)
        assert drained.more
        assert drained.batch.columns.time_unix_nanos.tolist() == [1, 2]
        # Another thread takes the chunk from the queue, and has written a part of its first record.
        image.add(DIRECT_POOL_OVERWRITTEN, 5)
        chunk = image.chunk(0)
        chunk.ring, chunk.first_seq, chunk.committed = 2, 0, 0
        start = image.data_of(0)
        image.memory[start : start + 200] = b"\xff" * 200
        assert reader.drain() == ([], [])
        assert pool.overwritten == 3
        again = RingThread(image, tid=2)
        # No thread has written so many.
        image.add(DIRECT_POOL_OVERWRITTEN, 1 << 62)
        assert 3 < pool.overwritten < 1 << 50
        image.add(DIRECT_POOL_OVERWRITTEN, -(1 << 62))
        again.put(returned(7))
        assert times_of(reader.drain()[0]) == [7]
        assert pool.overwritten == 3
        # The chunk is exported as long as it is referenced.
        del chunk


def test_the_reader_asks_for_a_stream_of_events() -> None:
    image = PoolImage()
    image.memory[DIRECT_POOL_MODE] = 1
    with reading(image):
        assert image.memory[DIRECT_POOL_MODE] == 0


def test_any_change_at_any_moment_leaves_the_reader_reading() -> None:
    with reading(image := PoolImage(small=16, large=2)) as reader:
        stop = threading.Event()
        changed = 0

        def change() -> None:
            nonlocal changed
            dice = np.random.default_rng(7)
            size = len(image.memory)
            states = (CHUNK_STATE_FREE, CHUNK_STATE_OPEN, CHUNK_STATE_CLOSED, 77)
            while not stop.is_set():
                for _ in range(64):
                    at = int(dice.integers(0, size // 8)) * 8
                    image.memory[at : at + 8] = dice.bytes(8)
                    header = image.headers + int(dice.integers(18)) * DIRECT_CHUNK_SIZE
                    word = struct.pack("<II", states[dice.integers(4)], dice.integers(1 << 15))
                    image.memory[header : header + 8] = word
                    changed += 1

        thread = threading.Thread(target=change)
        thread.start()
        for _ in range(500):
            drained = reader.decoder.drain_pools(reader.set.memory)
            assert drained.batch.columns.probe.max(initial=0) < CAPACITY
        stop.set()
        thread.join()
        assert changed > 0


def test_it_is_clean_under_the_sanitizers(tmp_path: Path) -> None:
    """Drains pools of all kinds, each in memory of exactly its size, also while a thread changes them."""
    program = tmp_path / "drain_pools"
    command = ["gcc", "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-pthread"]
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program]
    sources = [Path(__file__).with_name("drain_pools.c"), *C.glob("*.c")]
    subprocess.run([*command, INCLUDE_LAYOUTS, f"-I{C}", *options, *sources], check=True)
    table = new_decoder()._arrays["probes"].tobytes()
    content = [struct.pack("<Q", CAPACITY), table]
    dice = np.random.default_rng(104729)
    for number in range(211):
        content.append(hostile_pool(dice, number))
    done = subprocess.run([program], input=b"".join(content), capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert len(lines) == 211
    assert sum(int(events) > 0 for events, *_ in lines) > 100, "not all of it is nonsense"
    assert sum(int(malformed) > 0 for _, malformed, *_ in lines) > 50


def hostile_pool(dice: np.random.Generator, number: int) -> bytes:
    """Returns a pool of two small chunks and a large one, as drain_pools.c reads it."""
    image = PoolImage(small=2, large=1)
    threads = [RingThread(image, 1), RingThread(image, 2)]
    for time in range(60):
        if time % 29 == 28:
            threads[0].put(large(time))
        threads[time % 2].put(placed(time, b"ab") if time % 3 else returned(time))
    memory = bytearray(image.memory)
    start, headers = image.data, image.headers
    image.close()
    if number % 3:
        for at in dice.integers(start, len(memory), dice.integers(1, 40)):
            memory[at] = dice.integers(256)
    if number % 4 == 1:
        for _ in range(int(dice.integers(1, 4))):
            at = headers + int(dice.integers(3)) * DIRECT_CHUNK_SIZE + 4 * int(dice.integers(8))
            memory[at : at + 4] = dice.bytes(4) if dice.integers(2) else struct.pack("<I", dice.integers(4))
    if number % 10 == 9:
        memory[start:] = dice.bytes(len(memory) - start)
    assert len(memory) == start + 2 * DIRECT_CHUNK_BYTES + DIRECT_LARGE_CHUNK_BYTES
    head = struct.pack("<5Q", len(memory), headers, start, FIRST, number % 2)
    return head + bytes(memory)

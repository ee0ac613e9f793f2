"""Compares the drain with a slow decoder in plain Python, on ring buffers with every kind of content."""

from __future__ import annotations

import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stream import METHODS, PLACED, RETURNED, described

import jcollect.sources.bpf.ring_reader as reader_module
import jcollect.sources.records.library as drain_module
from conditions import DEADLINE_SECONDS, wait_until
from jcollect.errors import JcollectError
from jcollect.hub.accounts import Accounts
from jcollect.hub.hub import Hub, Subscription
from jcollect.hub.reader import Reader
from jcollect.hub.wire import encode
from jcollect.layout import DIGEST
from jcollect.layout.drain import EVENT_COLUMNS_BYTES
from jcollect.layout.record import (
    RECORD_FLAGS_VIRTUAL,
    RECORD_LATE_UNKNOWN,
    RECORD_LIMITS_MAX_BYTES,
    RECORD_SIZE,
    RING_HEADER_SIZE,
    RING_LENGTH_BYTES_MASK,
    STRING_WORD_CUT,
    STRING_WORD_LENGTH_MASK,
    STRING_WORD_LENGTH_SHIFT,
    STRING_WORD_PRESENT,
    STRING_WORD_UNREADABLE,
    Record,
    RingHeader,
)
from jcollect.probes.probe import TIMED_KINDS, probes_of
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.sources.bpf.ring_reader import RingReader
from jcollect.sources.columns import MOST_BYTES, Columns
from jcollect.sources.records.decoder import RecordDecoder
from jcollect.workers import Failures
from jprobe.v1 import probe_pb2
from layout_headers import INCLUDE_LAYOUTS
from list_source import StillCounters
from processes import closed
from received import batches, received
from ring_image import BUSY, DISCARDED, RingImage, header, record, string
from stub_image import DOUBLE, INT, STRING, Method, StubImage

ROOT = Path(__file__).resolve().parents[2]
DRAIN = "collector/jcollect/sources/records/c"
# In addition to the probes of test_stream: the maximum number of strings, and of words.
PROBES = probes_of(
    [
        StubLibrary(
            closed(4711),
            "/x",
            0,
            parse_stub_image(
                StubImage(
                    [*METHODS, Method("com.acme.Wide", "all", (STRING,) * 12, None),
                     Method("com.acme.Wide", "some", (INT, STRING, DOUBLE, STRING) * 3, STRING)]
                ).build()
            ),
        )
    ]
)  # fmt: skip
CAPACITY = len(PROBES) + 2  # The last two IDs are not assigned.
SIZES = (0, 16, RECORD_SIZE, 56, 57, 60, 120, 248, 504, 1208, 12472)


@dataclass(frozen=True)
class Event:
    """One element of each column, with its words and texts."""

    time: int
    probe: int
    tid: int
    thread: int
    duration: int
    values: tuple[int, ...]
    text: bytes
    start: int = 0


def start_of(record: Record, duration: int) -> int:
    """Returns when the call began, as the columns have it."""
    if record.late == RECORD_LATE_UNKNOWN or duration > record.time:
        return 0
    return int((record.time - record.late - duration) % 2**64)


def decode_slowly(body: bytes) -> Event | int:
    """Returns the event of a record, or a probe ID if the record is malformed."""
    if len(body) < RECORD_SIZE:
        return CAPACITY - 1
    record = Record.from_buffer_copy(body)
    id = record.probe
    if id >= len(PROBES):
        return min(id, CAPACITY - 1)
    probe = PROBES[id]
    at = RECORD_SIZE + 8 * record.words
    end = at + record.text
    flags = record.flags & ~RECORD_FLAGS_VIRTUAL
    if flags or record.words != probe.site.words or end > min(len(body), RECORD_LIMITS_MAX_BYTES):
        return id
    words = list(struct.unpack_from(f"<{record.words}Q", body, RECORD_SIZE))
    text = b""
    for i, value in enumerate(probe.values, probe.first_value):
        if value.type != probe_pb2.VALUE_TYPE_STRING:
            continue
        length = words[i] >> STRING_WORD_LENGTH_SHIFT & STRING_WORD_LENGTH_MASK
        state = words[i] ^ length << STRING_WORD_LENGTH_SHIFT
        known = STRING_WORD_PRESENT | STRING_WORD_UNREADABLE | STRING_WORD_CUT
        is_null = words[i] == 0
        is_whole = state & STRING_WORD_PRESENT and not state & ~known
        is_whole = is_whole and not (state & STRING_WORD_UNREADABLE and length)
        if not (is_null or is_whole) or at + length > end:
            return id
        one = body[at : at + length].replace(b"\xc0\x80", b"\0")
        at += length
        text += one
        words[i] = state | len(one) << STRING_WORD_LENGTH_SHIFT
    if at != end:
        return id
    return Event(
        record.time,
        id,
        record.tid,
        words[-1],
        words[0] if probe.kind in TIMED_KINDS else 0,
        tuple(words[probe.first_value : probe.first_value + len(probe.values)]),
        text,
        start_of(record, words[0]) if probe.kind in TIMED_KINDS else 0,
    )


def records_of(data: bytes) -> list[bytes]:
    """Returns the bodies of the records in a ring buffer from its start on, up to a busy or torn record."""
    found, at = [], 0
    while at + RING_HEADER_SIZE <= len(data):
        head = RingHeader.from_buffer_copy(data, at).length
        length = head & RING_LENGTH_BYTES_MASK
        start = at + RING_HEADER_SIZE
        end = start + -(-length // 8) * 8
        if head & BUSY or end > len(data):
            break
        if not head & DISCARDED:
            found.append(data[start : start + length])
        at = end
    return found


def events_of(columns: Columns, value_counts: list[int], text_sizes: list[int]) -> list[Event]:
    found = []
    values = texts = 0
    for i in range(len(columns)):
        end, text_end = values + value_counts[i], texts + text_sizes[i]
        found.append(
            Event(
                int(columns.time_unix_nanos[i]),
                int(columns.probe[i]),
                int(columns.tid[i]),
                int(columns.thread[i]),
                int(columns.duration_nanos[i]),
                tuple(columns.values[values:end].tolist()),
                columns.text[texts:text_end],
                int(columns.start_unix_nanos[i]),
            )
        )
        values, texts = end, text_end
    assert (values, texts) == (len(columns.values), len(columns.text))
    return found


def drain_all(decoder: RecordDecoder, image: RingImage, until: int) -> tuple[list[Event], list[int]]:
    events: list[Event] = []
    malformed: list[int] = []
    while True:
        drained = decoder.drain(image.ring.memory, until)
        batch = drained.batch
        events += events_of(batch.columns, batch.value_counts.tolist(), batch.text_sizes.tolist())
        malformed += drained.malformed.tolist()
        if not drained.more:
            return events, malformed


def new_decoder(**limits: int) -> RecordDecoder:
    decoder = RecordDecoder(CAPACITY, 0, **limits)
    decoder.add(range(len(PROBES)), PROBES)
    return decoder


TEXTS = st.lists(st.sampled_from([b"a", b"\xc0\x80", b"\xc0", b"\x80", b"\xc5\xbc"]), max_size=40).map(
    b"".join
)


@st.composite
def sound_records(draw: st.DrawFn) -> bytes:
    number = draw(st.integers(0, len(PROBES) - 1))
    probe = PROBES[number]
    words, text = [], b""
    for i in range(probe.site.words):
        if not probe.site.string_mask >> i & 1:
            words.append(draw(st.sampled_from([0, 1, 1 << 40, (1 << 64) - 1])))
            continue
        what = draw(st.sampled_from(["text", "null", "unreadable"]))
        one = draw(TEXTS) if what == "text" else b""
        text += one
        whole = string(len(one), cut=draw(st.booleans()))
        words.append({"text": whole, "null": 0, "unreadable": string(0, unreadable=True)}[what])
    size = RECORD_SIZE + 8 * len(words) + len(text) + draw(st.integers(0, 9))
    when, tid = draw(st.integers(0, 20)), draw(st.integers(0, 2))
    head, late = draw(st.sampled_from([0, 0, 0, DISCARDED])), draw(st.sampled_from([0, 5, -3, -(2**31)]))
    return record(size, number, words, text, time=when, tid=tid, head=head, late=late)


@st.composite
def corrupted_records(draw: st.DrawFn) -> bytes:
    """Returns well-formed records with a few bytes changed anywhere after the ring buffer's header."""
    corrupted = bytearray(draw(sound_records()))
    for _ in range(draw(st.integers(1, 3))):
        offset = draw(st.integers(RING_HEADER_SIZE, len(corrupted) - 1))
        corrupted[offset] = draw(st.sampled_from([0, 1, 2, 8, 0x80, 0xFF]))
    return bytes(corrupted)


@st.composite
def malformed_records(draw: st.DrawFn) -> bytes:
    size = draw(st.sampled_from(SIZES))
    content = draw(st.binary(max_size=size))
    return header(size) + content.ljust(-(-size // 8) * 8, b"\0")


RECORDS = st.lists(
    st.one_of(sound_records(), sound_records(), corrupted_records(), malformed_records()), max_size=30
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(RECORDS, st.integers(0, 25)), max_size=4),
    st.sampled_from([1, 3, 4096]),
    st.integers(0, 2**14),
)
def test_the_drain_returns_the_events_of_a_slow_decoder_in_order_of_time(
    looks: list[tuple[list[bytes], int]], most_events: int, start: int
) -> None:
    decoder = new_decoder(most_events=most_events)
    held: list[Event] = []
    published = late = 0
    with RingImage(data_bytes=1 << 20, start=(1 << 20) - 8 * start) as image:
        for records, until in [*looks, ([], (1 << 64) - 1)]:
            image.write(*records)
            found = [decode_slowly(body) for body in records_of(b"".join(records))]
            held = sorted(
                held + [each for each in found if isinstance(each, Event)], key=lambda each: each.time
            )
            ripe = [each for each in held if each.time <= until]
            held = held[len(ripe) :]
            events, malformed = drain_all(decoder, image, until)
            assert events == ripe
            assert malformed == [each for each in found if isinstance(each, int)]
            assert decoder.buffered == len(held)
            assert image.consumer == image.producer
            late += sum(each.time < published for each in ripe)
            published = max([published, *(each.time for each in ripe)])
            assert decoder.out_of_order == late


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000), st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20))
def test_a_ring_buffer_of_any_bytes_is_read_up_to_where_it_is_torn(
    content: bytes, consumer: int, ahead: int
) -> None:
    with RingImage(data_bytes=4096) as image:
        image.put(0, content)
        image.consumer = consumer % (1 << 64)
        image.producer = (consumer + ahead) % (1 << 64)
        decoder = new_decoder()
        try:
            for _ in range(4096):
                if not decoder.drain(image.ring.memory).more:
                    break
        except JcollectError as error:
            assert "corrupted" in error.message  # noqa: PT017


# Cases by name.


def test_a_record_around_the_end_of_the_ring_is_read_whole() -> None:
    with RingImage(PLACED, RETURNED, data_bytes=4096, start=4096 - 128) as image:
        events, malformed = drain_all(new_decoder(), image, 1 << 63)
    assert [event.probe for event in events] == [0, 1]
    assert events[0].text == b"abc"
    assert malformed == []


def test_reading_stops_at_a_busy_record_until_it_is_done() -> None:
    with RingImage(RETURNED, record(56, 1, [0, 0, 0], head=BUSY), RETURNED) as image:
        decoder = new_decoder()
        assert len(drain_all(decoder, image, 1 << 63)[0]) == 1
        assert image.consumer == 64
        assert drain_all(decoder, image, 1 << 63) == ([], [])
        image.put(64, RETURNED)
        assert len(drain_all(decoder, image, 1 << 63)[0]) == 2


@pytest.mark.parametrize("until", [0, 1 << 63])
def test_a_torn_ring_buffer_is_read_up_to_the_tear_and_then_is_an_error(until: int) -> None:
    with RingImage(PLACED, RETURNED, record(56, 1, [1, 2, 3])) as image:
        image.producer -= 8
        decoder = new_decoder()
        assert len(decoder.drain(image.ring.memory, until).batch) == 2, (
            "buffered events have nothing to wait for"
        )
        with pytest.raises(JcollectError, match="the ring buffer is corrupted"):
            decoder.drain(image.ring.memory, until)


PLACED_BYTES = RECORD_SIZE + 3 * 8 + 3  # Three words, and a text of three bytes.


@pytest.mark.parametrize(
    "length", [0, RECORD_SIZE - 1, RECORD_SIZE, RECORD_SIZE + 23, PLACED_BYTES - 1, PLACED_BYTES]
)
def test_a_record_shorter_than_its_stated_length_is_malformed(length: int) -> None:
    cut = header(length) + PLACED[RING_HEADER_SIZE : RING_HEADER_SIZE + -(-length // 8) * 8]
    with RingImage(cut, RETURNED) as image:
        events, malformed = drain_all(new_decoder(), image, 1 << 63)
    if length == PLACED_BYTES:
        assert [event.probe for event in events] == [0, 1]
    else:
        assert [event.probe for event in events] == [1]
        assert malformed == [0 if length >= RECORD_SIZE else CAPACITY - 1]


def at(when: int, tid: int = 1) -> bytes:
    return record(56, 1, [when, 0, 9], time=when, tid=tid)


def test_events_of_equal_times_keep_the_order_of_the_ring_buffer() -> None:
    with RingImage(at(2, 1), at(1, 2), at(2, 3), at(1, 4), at(2, 5)) as image:
        events, _ = drain_all(new_decoder(), image, 5)
    assert [(event.time, event.tid) for event in events] == [(1, 2), (1, 4), (2, 1), (2, 3), (2, 5)]


def test_events_that_do_not_fit_into_the_buffer_are_published_in_order() -> None:
    # Space for 47 records of three words and one of the largest.
    decoder = new_decoder(arena_bytes=RECORD_LIMITS_MAX_BYTES + 47 * (RECORD_SIZE + 3 * 8), most_events=16)
    times = np.random.default_rng(1).permutation(1009).tolist()
    with RingImage(*map(at, times)) as image:
        events, malformed = drain_all(decoder, image, 0)
        assert decoder.buffered < 48
        rest, _ = drain_all(decoder, image, 1 << 63)
    assert sorted(event.time for event in events + rest) == list(range(1009))
    assert malformed == []
    assert decoder.out_of_order > 0


# The probe with the most strings.
WIDE = max(range(len(PROBES)), key=lambda i: PROBES[i].site.string_mask.bit_count())


@pytest.mark.parametrize("text", [0, 1, 9000])
def test_a_message_of_events_has_at_most_1_mib_and_little_less(text: int) -> None:
    site, values = PROBES[WIDE].site, len(PROBES[WIDE].values)
    words = [string(text), *[0] * (site.words - 1)]
    one = record(RECORD_SIZE + 8 * len(words) + text, WIDE, words, b"x" * text)
    count = 2 * (1 << 20) // (EVENT_COLUMNS_BYTES + 8 * values + text)
    decoder = new_decoder()
    sizes = []
    with RingImage(*[one] * count, data_bytes=8 << 20) as image:
        while (drained := decoder.drain(image.ring.memory)).more:
            assert drained.batch.sizes.sum() <= MOST_BYTES
            sizes.append(len(encode(drained.batch.columns)))
            count -= len(drained.batch)
    assert count == len(drained.batch)
    assert sizes
    assert all((1 << 20) - 200 - text <= size <= 1 << 20 for size in sizes)


# The shared object.


def test_a_missing_shared_object_is_an_error_with_the_command_that_builds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drain_module.platform, "machine", lambda: "pdp11")
    with pytest.raises(JcollectError, match=r"neither .*linux-pdp11/drain\.so nor .*; run make build"):
        drain_module.load_library.__wrapped__()


def test_a_shared_object_of_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.c"
    other.write_text(f"const unsigned long long jprobe_layout_digest = {DIGEST ^ 1}ull;")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "drain.so", other], check=True)
    monkeypatch.setattr(drain_module, "find_built", lambda *_: tmp_path / "drain.so")
    with pytest.raises(JcollectError, match="was built from another version's"):
        drain_module.load_library.__wrapped__()
    monkeypatch.setattr(drain_module, "find_built", lambda *_: other)
    with pytest.raises(JcollectError, match=r"cannot load .*; run make build"):
        drain_module.load_library.__wrapped__()


def test_it_is_clean_under_the_sanitizers(tmp_path: Path) -> None:
    """Drains ring buffers of all kinds, each in memory of exactly its size, and compares with the slow
    decoder.
    """
    program = tmp_path / "drain_rings"
    command = ["gcc", "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion"]
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program]
    sources = [Path(__file__).with_name("drain_rings.c"), *(ROOT / DRAIN).glob("*.c")]
    includes = [INCLUDE_LAYOUTS, f"-I{ROOT / DRAIN}"]
    subprocess.run([*command, *includes, *options, *sources], check=True)
    rings = hostile_rings(np.random.default_rng(104729), 499)
    table = new_decoder()._arrays["probes"].tobytes()
    lines = [struct.pack("<Q", CAPACITY), table]
    lines += [struct.pack("<3Q", len(data), consumer, producer) + data for data, consumer, producer in rings]
    done = subprocess.run([program], input=b"".join(lines), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    expected = []
    for data, consumer, producer in rings:
        whole = (data + data)[consumer % len(data) :][: producer - consumer]
        is_sane = consumer % 8 == 0 and 0 <= producer - consumer <= len(data)
        found = [decode_slowly(body) for body in records_of(whole)] if is_sane else []
        events = [each for each in found if isinstance(each, Event)]
        words = sum(sum(event.values) + event.thread for event in events) % (1 << 64)
        expected.append(
            f"{len(events)} {len(found) - len(events)} {words} {sum(len(e.text) for e in events)}"
        )
    assert done.stdout.decode().splitlines() == expected
    assert sum(int(line.split()[0]) > 0 for line in expected) > 100, "not all of it is nonsense"


def hostile_rings(dice: np.random.Generator, count: int) -> list[tuple[bytes, int, int]]:
    """Yields data with a size that is a power of two, and positions: sound, corrupted, and random."""
    rings = []
    sane = [PLACED, RETURNED, record(504, 3, [string(4), 7, 0, 1, 2, 3, 11], b"\xc5\xbc\xc0\x80")]
    sane.append(record(120, 0, [5, string(0, unreadable=True), 9], head=DISCARDED))
    for number in range(count):
        data = bytearray(4096)
        used = 0
        while used + 512 <= len(data):
            one = sane[dice.integers(len(sane))]
            data[used : used + len(one)] = one
            used += len(one)
        if number % 3:
            for offset in dice.integers(0, used, dice.integers(1, 20)):
                data[offset] = dice.integers(256)
        if number % 10 == 9:
            data[:] = dice.bytes(len(data))
        consumer = int(dice.integers(8)) * 4096 if number % 7 else int(dice.integers(1 << 16))
        producer = consumer + (used if number % 5 else int(dice.integers(1 << 13)))
        rings.append((bytes(data), consumer, producer))
    return rings


# The reader.


class Reading:
    """A reader on a ring buffer image, with a subscriber."""

    def __init__(self, image: RingImage, max_events: int | None = None) -> None:
        self.accounts = Accounts(CAPACITY, [StillCounters(CAPACITY)])
        self.hub = Hub(described(PROBES), self.accounts)
        self.subscription: Subscription = self.hub.subscribe(())
        self.ended = threading.Event()
        self.failures = Failures(self.ended.set)
        self.reader = Reader(
            [RingReader(image.ring, new_decoder())],
            self.hub,
            self.accounts,
            max_events,
            self.ended.set,
            self.failures,
        )

    def delivered(self) -> int:
        return self.accounts.totals().delivered

    def received(self) -> list[Columns]:
        self.hub.end()
        return batches(received(self.subscription))


def columns_of(batches: list[Columns], name: str) -> list[int]:
    return [one for batch in batches for one in getattr(batch, name).tolist()]


def test_events_are_published_and_numbered_in_order_of_time() -> None:
    now = time.monotonic_ns() + 10**12
    times = [now + i for i in (3, 1, 2, 7, 5, 11)]
    with RingImage(*map(at, times)) as image:
        reading = Reading(image)
        reading.reader.start()
        wait_until(lambda: image.consumer == image.producer, "the ring is empty")
        assert reading.delivered() == 0, "recent events are buffered"
        reading.reader.finish()
        batches = reading.received()
    assert columns_of(batches, "time_unix_nanos") == sorted(times)
    assert columns_of(batches, "seq") == list(range(6))
    assert reading.reader.out_of_order == 0


def test_an_event_older_than_the_window_is_published_and_counted_as_out_of_order() -> None:
    with RingImage(at(101), at(97)) as image:
        reading = Reading(image)
        reading.reader.start()
        wait_until(lambda: reading.delivered() == 2, "two events are published")
        image.write(at(89), at(103))
        wait_until(lambda: reading.delivered() == 4, "two more are published")
        reading.reader.finish()
        assert columns_of(reading.received(), "time_unix_nanos") == [97, 101, 89, 103]
    assert reading.reader.out_of_order == 1


def test_buffered_events_beyond_max_events_are_filtered() -> None:
    now = time.monotonic_ns() + 10**12
    with RingImage(*(at(now + i) for i in range(7))) as image:
        reading = Reading(image, max_events=5)
        reading.reader.start()
        reading.reader.finish()
        assert reading.ended.is_set()
        assert len(columns_of(reading.received(), "seq")) == 5
    totals = reading.accounts.totals()
    assert (totals.delivered, totals.filtered) == (5, 2)


def test_a_reader_that_cannot_continue_ends_the_collector_with_the_reason() -> None:
    with RingImage(at(1), data_bytes=4096) as image:
        reading = Reading(image)
        image.producer += 1 << 20
        reading.reader.start()
        assert reading.ended.wait(30)
        assert reading.reader.finish()
        with pytest.raises(JcollectError, match="corrupted"):
            reading.failures.check()


def test_a_reader_between_two_polls_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("SHORTEST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(reader_module, pause, 3_600_000)
    with RingImage(at(1)) as image:
        reading = Reading(image)
        reading.reader.start()
        finishing = threading.Thread(target=reading.reader.finish, daemon=True)
        finishing.start()
        finishing.join(DEADLINE_SECONDS)
        assert not finishing.is_alive()
        assert reading.delivered() == 1

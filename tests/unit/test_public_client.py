"""jcollect.Client with the real hub and server: streams resume after cuts and restarts, and report gaps."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import jcollect
from conditions import wait_until
from cut_connections import Relay
from jcollect import Gap, GapReason, JcollectError, Reconnect
from published import PROBES, TIME, Publisher
from served import PID, StillSource, described, serving

QUICK = Reconnect(seconds=10, first_delay=0.01, longest_delay=0.1)


@pytest.fixture
def source() -> StillSource:
    return StillSource(described(PROBES))


@pytest.fixture
def publisher(source: StillSource) -> Publisher:
    return Publisher(source)


@pytest.fixture
def address(source: StillSource, tmp_path: Path) -> Iterator[str]:
    with serving(source, tmp_path) as address:
        yield address.text


@pytest.fixture
def relay(address: str, tmp_path: Path) -> Iterator[Relay]:
    with Relay(tmp_path / "relay.sock", tmp_path / "still.sock") as relay:
        yield relay


class Reader:
    """Reads a stream in a thread up to its end."""

    def __init__(self, stream: Iterator[jcollect.Event]) -> None:
        self.seqs: list[int] = []
        self.error: Exception | None = None
        self._stream = stream
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self.seqs.extend(event.seq for event in self._stream)
        except Exception as error:
            self.error = error

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.seqs) >= count or self.error, f"{count} events")
        assert self.error is None

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_events_have_names_times_and_values(address: str, publisher: Publisher) -> None:
    with jcollect.Client(address) as client, client.events("*Order1*") as stream:
        publisher.publish(5)
        first, second = next(stream), next(stream)
        assert (first.seq, second.seq) == (1, 4)
        assert (second.time_unix_nanos, second.duration_nanos) == (TIME + 4, 4000)
        assert second.time == datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)
        assert second.duration == 4e-6
        assert (second.tid, second.thread, second.values) == (7, 9, {"id": 4})
        probe = second.probe
        assert (probe.class_name, probe.method) == ("com.acme.orders.Order1Service", "place")
        assert (probe.kind, probe.pid, str(probe)) == ("entry", PID, "com_acme_Order1:place__entry")
        assert [(value.name, value.java_type) for value in probe.values] == [("id", "long")]
        assert stream.cursor is not None
        assert stream.cursor.seq == 5


def test_probes_and_status(address: str) -> None:
    with jcollect.Client(address) as client:
        assert [probe.id for probe in client.probes()] == [0, 1, 2]
        assert [probe.id for probe in client.probes("*Order2*")] == [2]
        assert len(client.status(["*Order2*", "*Order1*"]).probes) == 2
        assert not client.status(summary_only=True).probes


def test_batches_are_views_of_the_message(address: str, publisher: Publisher) -> None:
    with jcollect.Client(address) as client, client.batches() as stream:
        publisher.publish(1009)
        batch = next(stream)
        assert len(batch) == 1009
        assert batch.values.tolist() == list(range(1009))
        assert batch.seq.base is not None
        assert not batch.duration_nanos.flags.writeable
        assert batch.probes[int(batch.probe[2])].provider == "com_acme_Order2"
        assert [event.seq for event in batch] == batch.seq.tolist()


def test_tables_have_a_row_for_each_event(address: str, publisher: Publisher) -> None:
    with jcollect.Client(address) as client, client.tables(columns=["duration", "values"]) as stream:
        publisher.publish(1009)
        table = next(stream)
        assert table.num_rows == 1009
        assert table["id"].to_pylist() == list(range(1009))
        assert "tid" not in table.column_names


def test_a_stream_goes_on_where_its_connection_was_cut(relay: Relay, publisher: Publisher) -> None:
    with jcollect.Client(relay.address, reconnect=QUICK) as client, client.events() as stream:
        reader = Reader(stream)
        for number in range(4):
            publisher.publish(1009)
            reader.wait_for(1009 * number + 1)
            connections = relay.connections
            relay.cut()
            publisher.publish(1)
            wait_until(lambda: relay.connections > connections, "another connection")  # noqa: B023
        publisher.publish(1009)
        reader.wait_for(publisher.published)
        stream.close()
        reader.join()
    assert reader.seqs == list(range(5 * 1009 + 4))
    assert stream.gaps == []
    assert stream.lost.events == 0
    assert relay.connections >= 5


def test_a_gap_has_the_exact_number_of_events_that_are_gone(tmp_path: Path) -> None:
    source = StillSource(described(PROBES), history_bytes=64 << 10)
    publisher = Publisher(source)
    gaps: list[Gap] = []
    with (
        serving(source, tmp_path),
        Relay(tmp_path / "relay.sock", tmp_path / "still.sock") as relay,
        jcollect.Client(relay.address, reconnect=QUICK) as client,
        client.events("*Order1*", on_gap=gaps.append) as stream,
    ):
        reader = Reader(stream)
        publisher.publish(300)
        reader.wait_for(100)
        relay.target = tmp_path / "nothing.sock"
        relay.cut()
        for _ in range(30):
            publisher.publish(300)
        relay.target = tmp_path / "still.sock"
        last = publisher.published - 2
        wait_until(lambda: last in reader.seqs, "the last event")
        stream.close()
        reader.join()
    (gap,) = gaps
    assert gap.reason == GapReason.HISTORY
    assert not gap.is_bound
    assert gap.missed
    assert len(reader.seqs) + gap.missed == publisher.published // PROBES
    assert reader.seqs == sorted(set(reader.seqs))
    assert stream.lost.by_stage == {"history": gap.missed}


def test_the_events_of_a_restarted_collector_follow_a_gap(tmp_path: Path) -> None:
    first, second = StillSource(described(PROBES)), StillSource(described(PROBES))
    gaps: list[tuple[int, Gap]] = []
    with (
        serving(first, tmp_path, f"unix://{tmp_path}/first.sock"),
        serving(second, tmp_path, f"unix://{tmp_path}/second.sock"),
        Relay(tmp_path / "relay.sock", tmp_path / "first.sock") as relay,
        jcollect.Client(relay.address, reconnect=QUICK) as client,
        client.events(on_gap=lambda gap: gaps.append((len(reader.seqs), gap))) as stream,
    ):
        reader = Reader(stream)
        Publisher(first).publish(100)
        reader.wait_for(100)
        Publisher(second).publish(101)
        relay.target = tmp_path / "second.sock"
        relay.cut()
        reader.wait_for(201)
        stream.close()
        reader.join()
    assert reader.seqs == [*range(100), *range(101)]
    assert gaps == [(100, Gap(None, False, GapReason.RESTART))]


def test_another_client_goes_on_at_a_cursor(address: str, publisher: Publisher) -> None:
    with jcollect.Client(address) as client:
        with client.events() as stream:
            publisher.publish(10)
            begin = stream.cursor
            events = [next(stream) for _ in range(9)]
            # Not all of the batch was returned: its events come again.
            assert stream.cursor == begin
            events.append(next(stream))
            position = str(stream.cursor)
        publisher.publish(11)
        with client.events(after=position, follow=False) as stream:
            events += stream
        assert stream.gaps == []
    assert [event.seq for event in events] == list(range(21))


def test_a_cursor_of_another_run_is_a_gap(address: str, publisher: Publisher) -> None:
    publisher.publish(5)
    with (
        jcollect.Client(address) as client,
        client.events(after="0000000000000001-5-5", follow=False) as stream,
    ):
        assert len(list(stream)) == 5
        assert [gap.reason for gap in stream.gaps] == [GapReason.RESTART]


@pytest.mark.parametrize(
    ("filters", "seqs"),
    [
        ({"last": 2}, [98, 99]),
        ({"since": TIME + 95}, [95, 96, 97, 98, 99]),
        ({"last": 100, "where": "id < 3"}, [0, 1, 2]),
        ({"since": 0, "deny": ["*Order0*", "*Order1*"], "sample_every": 11}, [2, 35, 68]),
        ({"since": 0, "probes": "*Order0*", "where": "duration > 94us"}, [96, 99]),
    ],
)
def test_filters(address: str, publisher: Publisher, filters: dict[str, object], seqs: list[int]) -> None:
    publisher.publish(100)
    with jcollect.Client(address) as client, client.events(follow=False, **filters) as stream:
        assert [event.seq for event in stream] == seqs
        if "where" in filters or "sample_every" in filters:
            assert stream.skipped.total


def test_columns_that_are_not_asked_for_are_empty(address: str, publisher: Publisher) -> None:
    publisher.publish(3)
    with jcollect.Client(address) as client:
        with client.batches(last=3, columns=["time"], follow=False) as stream:
            (batch,) = stream
        assert batch.time_unix_nanos.tolist() == [TIME, TIME + 1, TIME + 2]
        assert [len(batch.tid), len(batch.values), len(batch.duration_nanos)] == [0, 0, 0]
        (event, *_) = batch
        assert (event.tid, event.values) == (0, {})


def test_a_slow_client_that_prefers_to_disconnect_misses_nothing(tmp_path: Path) -> None:
    source = StillSource(described(PROBES), queue_bytes=1 << 20)
    publisher = Publisher(source)
    with (
        serving(source, tmp_path) as address,
        jcollect.Client(address.text, reconnect=QUICK) as client,
        client.batches(on_overflow="disconnect") as stream,
    ):
        # The history has room for all of them.
        for _ in range(211):
            publisher.publish(1009)
        seqs: list[int] = []
        while not seqs or seqs[-1] < publisher.published - 1:
            seqs += next(stream).seq.tolist()
        assert source.hub.served > 1
    assert seqs == list(range(publisher.published))
    assert stream.gaps == []


def test_a_stream_ends_when_the_collector_does(source: StillSource, address: str) -> None:
    with jcollect.Client(address) as client, client.events() as stream:
        Publisher(source).publish(3)
        source.hub.end()
        assert len(list(stream)) == 3


def test_without_reconnect_a_cut_is_an_error(relay: Relay, publisher: Publisher) -> None:
    with jcollect.Client(relay.address, reconnect=None) as client, client.events() as stream:
        publisher.publish(1)
        next(stream)
        relay.cut()
        with pytest.raises(JcollectError, match="disconnected before the end of the stream"):
            next(stream)


def test_a_stream_gives_up_after_some_time(relay: Relay, publisher: Publisher, tmp_path: Path) -> None:
    reconnect = Reconnect(seconds=0.5, first_delay=0.1, longest_delay=0.1)
    with jcollect.Client(relay.address, reconnect=reconnect) as client, client.events() as stream:
        publisher.publish(1)
        next(stream)
        relay.target = tmp_path / "nothing.sock"
        relay.cut()
        begun = time.monotonic()
        with pytest.raises(JcollectError, match=r"cannot reconnect .* for 0\.5 s: "):
            next(stream)
        assert 0.4 < time.monotonic() - begun < 10


ERRORS: list[tuple[Callable[[jcollect.Client], object], str]] = [
    (lambda client: client.events("*nothing*"), r"no probe of this collector matches \*nothing\* at unix:"),
    (lambda client: client.events(where="id >"), r"rejects the request: .*expected a value, as in"),
    (lambda client: client.events(since=1, last=2), "cannot begin a stream at since and last"),
    (lambda client: client.events(since=datetime.datetime(2026, 1, 1)), "it has no time zone"),
    (
        lambda client: client.events(columns=["place"]),
        "'place' is not a column of events: choose from time, ",
    ),
    (lambda client: client.events(on_overflow="wait"), "choose from drop-newest, "),
    (lambda client: client.events(after="x"), "'x' is not a cursor"),
    (lambda client: client.events(last=-1), "cannot subscribe with last=-1"),
    (lambda client: client.events(pids=[-1]), "-1 is not a PID"),
    (lambda client: client.histograms(interval=-1), "cannot count in intervals of -1 s"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_errors_say_what_to_do(address: str, call: Callable[[jcollect.Client], object], message: str) -> None:
    with jcollect.Client(address) as client, pytest.raises(JcollectError, match=message):
        call(client)


def test_no_collector_is_an_error_at_once(tmp_path: Path) -> None:
    with (
        jcollect.Client(f"unix://{tmp_path}/no.sock") as client,
        pytest.raises(JcollectError, match=r"no collector listens at .*; start one with jcollect attach"),
    ):
        client.events()


def test_a_token_is_not_sent_in_the_clear() -> None:
    with pytest.raises(JcollectError, match=r"cannot send the token to 192\.0\.2\.1:5000: TCP without TLS"):
        jcollect.Client("192.0.2.1:5000", token="secret")


def test_importing_jcollect_loads_no_library() -> None:
    code = (
        "import sys, jcollect; assert 'Client' in dir(jcollect); "
        "print([name for name in ('grpc', 'numpy', 'google.protobuf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = jcollect.Nothing


def test_a_client_that_may_not_see_values_gets_the_rest(
    source: StillSource, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish(3)
    rules = tmp_path / "access.toml"
    rules.write_text('[anyone]\nrights = ["view"]\n')
    with (
        serving(source, tmp_path, access=rules) as address,
        jcollect.Client(address.text) as client,
        client.events(last=3, follow=False) as stream,
    ):
        assert [(event.duration_nanos, event.values) for event in stream] == [(0, {}), (1000, {}), (2000, {})]

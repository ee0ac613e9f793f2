"""The collector on the real kernel: counts, sums and texts are exact at a gRPC client."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from collector_fixtures import ENTRY_FILTERED, JCOLLECT, RETURN_FILTERED, THROW_FILTERED, Bench, events_of

from conditions import require_bpf, wait_until
from jcollect.hub.items import Loss, LossStage, Schema
from jcollect.layout.gate import GATE_WINDOW
from jcollect.probes.scan import scan_traceable
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jcollect.rpc.subscriber import Subscriber
from jcollect.session.session import Session
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.columns import Columns
from processes import opened
from received import columns_or_item
from stub_image import ABSENT, BOOLEAN, ENTRY, LONG, RETURN, STRING, Method, StubImage, captured

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
PATTERNS = ("nst", "d1t", "det")


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def numbers_only(count: int = 1) -> StubImage:
    kinds = (2,)
    return StubImage([Method("com.acme.Orders", f"m{i}", (), LONG, "()J", kinds) for i in range(count)])


class Received:
    """Receives a whole stream as a gRPC client."""

    def __init__(self, address: str, globs: tuple[str, ...] = ()) -> None:
        self._client = Subscriber(parse_address(address))
        self._items = self._client.subscribe(globs)
        schema = next(self._items)
        assert isinstance(schema, Schema)
        self.probes = {probe.id: probe for probe in schema.probes}
        self.batches: list[Columns] = []
        self.losses: dict[int, Loss] = {}

    def to_the_end(self) -> None:
        for item in map(columns_or_item, self._items):
            if isinstance(item, Columns):
                self.batches.append(item)
            else:
                assert isinstance(item, Loss)
                self.losses[item.stage] = item

    def counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in self.batches:
            for probe, count in Counter(batch.probe.tolist()).items():
                counts[self.probes[probe].name] += count
        return counts


def test_a_single_hit_is_in_the_singular(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target, "--probe", "*entry")
    target.fire(1, 1)
    assert ": 1 hit = 1 delivered + 0 lost " in collector.end()


def test_a_prime_number_of_calls_from_four_threads_is_counted_exactly(bench: Bench) -> None:
    threads, calls = 4, 26183  # together 104,732, and 26,183 is prime
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target)
    assert re.fullmatch(
        rf"armed 3 probes of 1 method in \d+ ms; serving unix:///run/jprobe/{target.pid}.sock",
        collector.status(),
    )
    received = Received(str(target.pid))
    everything = threads * calls
    target.fire(threads, calls)
    collector.process.send_signal(signal.SIGTERM)
    received.to_the_end()
    assert collector.wait().startswith("detached after ")
    assert received.losses == {}
    assert received.counts() == dict.fromkeys(("place__entry", "place__return", "place__throw"), everything)
    arguments: list[int] = []
    texts: list[bytes] = []
    durations = 0
    numbers_by_thread: dict[int, list[int]] = {}
    for batch in received.batches:
        durations += int(batch.duration_nanos.sum())
        values, text, at, end = batch.values.tolist(), batch.text, 0, 0
        for probe, thread in zip(batch.probe.tolist(), batch.thread.tolist(), strict=True):
            kind = received.probes[probe].name
            if kind == "place__entry":
                length = values[at + 1] & 0xFFFFFFFF
                arguments.append(values[at])
                numbers_by_thread.setdefault(thread, []).append(values[at])
                texts.append(text[end : end + length])
                at, end = at + 2, end + length
            elif kind == "place__throw":
                length = values[at] & 0xFFFFFFFF
                assert text[end : end + length] == b"java.lang.IllegalStateException"
                at, end = at + 1, end + length
            else:
                assert values[at] == 0 or values[at] == 1
                at += 1
        assert (at, end) == (len(values), len(text))
    assert sum(arguments) == everything * (everything - 1) // 2
    assert sorted(texts) == sorted(b"call %d" % number for number in range(everything))
    assert durations == 2 * sum(1000 + number % 1000 for number in range(everything))
    assert sorted(numbers_by_thread) == [100, 101, 102, 103]
    for thread, numbers in numbers_by_thread.items():
        first = (thread - 100) * calls
        assert numbers == list(range(first, first + calls)), "events of a thread are in order"
    assert target.semaphores() == 0


@pytest.mark.parametrize("link_type", ["uprobe-multi", "perf-event"])
def test_both_link_types_count_exactly_and_restore_semaphores(bench: Bench, link_type: str) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target, "--link", link_type, "-o", "json")
    assert target.semaphores() == 3
    target.fire(4, 499)
    summary = collector.end()
    assert "5,988 hits = 5,988 delivered + 0 lost" in summary
    events = events_of(collector)
    assert len(events) == 3 * 4 * 499
    assert sum(e["args"][0] for e in events if e["kind"] == "entry") == 1996 * 1995 // 2
    assert {e["args"][1] for e in events if e["kind"] == "entry"} == {f"call {i}" for i in range(1996)}
    assert [e["seq"] for e in events] == list(range(5988))
    assert target.semaphores() == 0


def test_strings_of_all_lengths_null_and_unreadable_arrive_whole(bench: Bench) -> None:
    image = StubImage(
        [
            Method("a.B", "mixed", (STRING,) * 7 + (LONG,), kinds=(1,)),
            Method("a.B", "longest", (STRING,) * 11, kinds=(1,)),
            Method("a.B", "many", (STRING,) * 11, kinds=(1,)),
        ]
    )
    target = bench.target(image, "sulmzbsNt", "m" * 11 + "t", "uslusuzusus" + "t")
    # 44 MB within a moment.
    collector = bench.attach(target, "-o", "json", "--ring-pages", "16384")
    target.fire(4, 251)
    assert "3,012 hits = 3,012 delivered + 0 lost" in collector.end()
    seen = Counter(event["method"] for event in events_of(collector))
    assert seen == {"mixed": 1004, "longest": 1004, "many": 1004}

    def lengthy(number: int) -> str:
        return f"{number} ".ljust(300 + number % 700, "x")

    for event in events_of(collector):
        args = event["args"]
        if event["method"] == "mixed":
            number = -args[7]
            assert args[:7] == [
                f"call {number}",
                f"żółć 🦆 {number}",
                lengthy(number),
                "m" * 1024,
                None,
                {"unreadable": True},
                f"call {number}",
            ]
            assert event["thread"] == 100 + number // 251
        elif event["method"] == "longest":
            assert args == ["m" * 1024] * 11
        else:
            number = int(args[1].split()[1])
            accented, brief = f"żółć 🦆 {number}", f"call {number}"
            assert args[:6] == [accented, brief, lengthy(number), accented, brief, accented]
            assert args[6:] == [None, accented, brief, accented, brief]


def test_twelve_words_six_of_them_on_the_stack_arrive_whole(bench: Bench) -> None:
    image = StubImage([Method("a.B", "wide", (LONG,) * 11, kinds=(1,))])
    target = bench.target(image, "nNnNdhnNnNdt")
    collector = bench.attach(target, "-o", "json")
    target.fire(2, 101)
    collector.end()
    events = events_of(collector)
    assert len(events) == 202
    for event in events:
        n = event["args"][0]
        d = 1000 + n % 1000
        assert event["args"] == [n, -n, n, -n, d, 0x1B2C3D4E, n, -n, n, -n, d]
        assert event["thread"] == 100 + n // 101


@pytest.mark.parametrize("link_type", ["uprobe-multi", "perf-event"])
def test_twelve_values_and_the_thread_id_arrive_whole(bench: Bench, link_type: str) -> None:
    methods = [
        Method("a.B", "wide", (LONG,) * 12, kinds=(ENTRY,)),
        Method("a.B", "mixed", (LONG, STRING) * 6, kinds=(ENTRY,)),
        Method("a.B", "longest", (STRING,) * 12, kinds=(ENTRY,)),
        Method(
            "a.B", "ends", (), LONG, kinds=(RETURN,), captures=tuple(captured(c, LONG) for c in "abcdefghij")
        ),
    ]
    patterns = ("nNnNdhnNnNdht", "nsNuncNlnznut", "m" * 12 + "t", "dnNnNdhnNnNNt")
    target = bench.target(StubImage(methods), *patterns)
    collector = bench.attach(target, "-o", "json", "--link", link_type)
    target.fire(2, 101)
    assert "808 hits = 808 delivered + 0 lost" in collector.end()
    seen: Counter[str] = Counter()
    for event in events_of(collector):
        seen[event["method"]] += 1
        h = 0x1B2C3D4E
        if event["method"] == "longest":
            assert event["args"] == ["m" * 1024] * 12
            continue
        n = event["value"] if event["method"] == "ends" else event["args"][0]
        d = 1000 + n % 1000
        assert event["thread"] == 100 + n // 101
        if event["method"] == "wide":
            assert event["args"] == [n, -n, n, -n, d, h, n, -n, n, -n, d, h]
        elif event["method"] == "mixed":
            brief, accented, lengthy = f"call {n}", f"żółć 🦆 {n}", f"{n} ".ljust(300 + n % 700, "x")
            assert event["args"][0::2] == [n, -n, n, -n, n, n]
            assert event["args"][1::2] == [brief, accented, brief, lengthy, None, accented]
            assert event["args_cut"] == [5]
        else:
            assert event["duration_ns"] == d
            assert list(event["captures"].items()) == list(
                zip("abcdefghij", [-n, n, -n, d, h, n, -n, n, -n, -n], strict=True)
            )
    assert seen == dict.fromkeys(("wide", "mixed", "longest", "ends"), 202)


def test_a_text_at_an_odd_address_was_truncated_by_the_agent(bench: Bench) -> None:
    methods = [
        Method("a.B", "one", (STRING,), kinds=(ENTRY,)),
        Method("a.B", "many", (STRING,) * 12, kinds=(ENTRY,)),
    ]
    target = bench.target(StubImage(methods), "ct", "cslczbscumcst")
    collector = bench.attach(target, "-o", "json")
    target.fire(1, 101)
    assert "202 hits = 202 delivered + 0 lost" in collector.end()
    for number, (one, many) in enumerate(zip(*[iter(events_of(collector))] * 2, strict=True)):
        brief = f"call {number}"
        assert (one["args"], one["args_cut"]) == ([brief], [0])
        assert many["args"] == [
            brief, brief, f"{number} ".ljust(300 + number % 700, "x"), brief, None, {"unreadable": True},
            brief, brief, f"żółć 🦆 {number}", "m" * 1024, brief, brief,
        ]  # fmt: skip
        assert many["args_cut"] == [0, 3, 7, 10]


def test_nuls_in_strings_arrive_at_clients_as_utf_8(bench: Bench) -> None:
    target = bench.target(StubImage([Method("a.B", "nul", (STRING, LONG, STRING), kinds=(ENTRY,))]), "onst")
    collector = bench.attach(target, "-o", "json")
    received = Received(str(target.pid))
    target.fire(1, 101)
    collector.process.send_signal(signal.SIGTERM)
    received.to_the_end()
    collector.wait()
    expected = [f"\0{number}\0\0" for number in range(101)]
    assert [event["args"] for event in events_of(collector)] == [
        [text, number, f"call {number}"] for number, text in enumerate(expected)
    ]
    everything = "".join(f"{text}call {number}" for number, text in enumerate(expected))
    assert b"".join(batch.text for batch in received.batches) == everything.encode()
    lengths = [word & 0xFFFFFFFF for batch in received.batches for word in batch.values.tolist()[::3]]
    assert lengths == [len(text) for text in expected]


def test_captured_values_and_absent_ones_are_distinguished_from_the_others(bench: Bench) -> None:
    asked = (captured("id", LONG), captured("city", STRING), ABSENT)
    methods = [
        Method("a.B", "call", (), None, kinds=(ENTRY,), captures=asked),
        Method("a.B", "back", (), None, kinds=(RETURN,), captures=asked),
    ]
    target = bench.target(StubImage(methods), "nsat", "dnsat")
    collector = bench.attach(target, "-o", "json")
    observer = bench.observe(target.pid)
    target.fire(1, 6)
    collector.end()
    observer.wait()
    for event in events_of(collector):
        number = event["seq"] // 2
        assert event["captures"] == {
            "id": {"absent": "null"} if number % 2 == 0 else number,
            "city": {"absent": "exception"} if number % 3 == 0 else f"call {number}",
        }
        if event["kind"] == "entry":
            assert event["args"] == []
        else:
            assert event["value"] is None
    # The exact lines of calls 0 and 1, without time and thread.
    assert [line.split(" ", 2)[2] for line in observer.output[:4]] == [
        "a.B#call entry (id=<absent: null>, city=<absent: exception>)",
        "a.B#back return 1.00us id=<absent: null> city=<absent: exception>",
        'a.B#call entry (id=1, city="call 1")',
        'a.B#back return 1.00us id=1 city="call 1"',
    ]


def test_calls_that_the_process_filters_while_attached_are_counted(bench: Bench) -> None:
    methods = [Method("a.B", f"m{i}", (LONG,), LONG, condition="when duration > 5ms") for i in range(3)]
    target = bench.target(StubImage(methods), *("nt", "dnt", "det") * 3)
    target.hold(1, ENTRY_FILTERED, 100003)  # before attaching: not counted
    collector = bench.attach(target, "--probe", "*__entry", "--probe", "a.B#m1")
    target.fire(1, 101)
    target.hold(0, ENTRY_FILTERED, 13)
    target.hold(1, ENTRY_FILTERED, 17)
    target.hold(1, RETURN_FILTERED, 19)
    target.hold(1, THROW_FILTERED, 23)
    target.hold(0, RETURN_FILTERED, 1009)  # of a probe that was not requested
    target.hold(2, GATE_WINDOW, 1013)  # of no probe: the limit's own count
    listed = Client(parse_address(str(target.pid))).list_probes(())
    assert {(p.method, p.name): p.filtered for p in listed} == {
        ("m0", "m0__entry"): 13,
        ("m1", "m1__entry"): 100020,
        ("m1", "m1__return"): 19,
        ("m1", "m1__throw"): 23,
        ("m2", "m2__entry"): 0,
    }
    assert {p.condition for p in listed} == {"when duration > 5ms"}
    assert "577 hits = 505 delivered + 72 filtered + 0 lost" in collector.end()


def test_a_count_that_wraps_stays_exact(bench: Bench) -> None:
    target = bench.target(StubImage([Method("a.B", "m", (LONG,), kinds=(ENTRY,))]), "nt")
    target.hold(0, ENTRY_FILTERED, 2**64 - 5)
    collector = bench.attach(target)
    target.hold(0, ENTRY_FILTERED, 13)
    assert "13 hits = 0 delivered + 13 filtered + 0 lost" in collector.end()


def test_the_filtered_calls_are_known_after_the_process_has_exited(bench: Bench) -> None:
    target = bench.target(numbers_only(), "dnt")
    session = Session()
    try:
        session.start()
        tracee = session.join(scan_traceable(opened(target.pid)), lambda probe: True)
        tracee.attach()
        target.fire(1, 11)
        target.hold(0, RETURN_FILTERED, 13)
        tracee.follow(pytest.fail)
        target.end()
        totals = session.detach()
    finally:
        session.close()
    assert (totals.hits, totals.delivered, totals.filtered, totals.lost) == (24, 11, 13, 0)


def test_the_verifier_follows_one_path_through_the_bpf_program() -> None:
    programs = BpfPrograms(1, 1)
    try:
        about = Path(f"/proc/self/fdinfo/{programs.load_for_perf_event()}").read_text()
    finally:
        programs.close()
    looked_at = re.search(r"verified_insns:\s*(\d+)", about)
    # Linux reports this since 5.16. It is 8,500, and hundreds of thousands if the verifier follows several
    # paths.
    assert looked_at is None or int(looked_at[1]) < 20_000


def test_a_full_ring_loses_events_and_counts_them_exactly(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target, "--ring-pages", "1")
    received = Received(str(target.pid))
    target.fire(4, 10007)
    collector.process.send_signal(signal.SIGINT)
    received.to_the_end()
    summary = collector.wait()
    hits, delivered, lost, in_ring = (
        int(number.replace(",", ""))
        for number in re.search(
            r"([\d,]+) hits = ([\d,]+) delivered \+ ([\d,]+) lost \(kernel ring ([\d,]+)", summary
        ).groups()  # type: ignore[union-attr]
    )
    assert hits == 3 * 4 * 10007 == delivered + lost
    assert lost == in_ring > 0
    loss = received.losses[LossStage.KERNEL_RING]
    assert loss.events == lost
    counts = received.counts()
    by_probe = {received.probes[probe].name: events for probe, events in loss.by_probe.items()}
    for name in ("place__entry", "place__return", "place__throw"):
        assert counts[name] + by_probe.get(name, 0) == 40028


def test_a_killed_collector_leaves_the_target_clean_and_a_new_one_takes_its_socket(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    first = bench.attach(target)
    assert target.semaphores() == 3
    first.process.kill()
    wait_until(lambda: target.semaphores() == 0, "semaphores at 0", 1.0)
    assert os.path.exists(f"/run/jprobe/{target.pid}.sock")
    second = bench.attach(target, "-o", "json")
    target.fire(1, 7)
    second.end()
    assert len(events_of(second)) == 21
    assert not os.path.exists(f"/run/jprobe/{target.pid}.sock")


def test_only_the_owner_can_access_the_socket(bench: Bench) -> None:
    target = bench.target(numbers_only(), "dnt")
    bench.attach(target)
    assert os.stat(f"/run/jprobe/{target.pid}.sock").st_mode & 0o777 == 0o600
    fresh = bench.directory / "fresh" / "x.sock"
    fresh.parent.mkdir(0o755)
    bench.attach(target, "--listen", f"unix://{fresh}")
    assert os.stat(fresh).st_mode & 0o777 == 0o600


def test_two_collectors_see_the_same_calls(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    first = bench.attach(target, "-o", "json", "--insecure", "--listen", "127.0.0.1:0")
    second = bench.attach(target, "-o", "json", "--probe", "*__return")
    # The kernel counts each traced file offset once, however many tracers are attached to it.
    assert target.semaphores() == 3
    target.fire(2, 103)
    first.end()
    assert target.semaphores() == 1
    second.end()
    assert len(events_of(first)) == 3 * 206
    assert len(events_of(second)) == 206


def test_max_events_end_it_and_the_rest_is_filtered(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target, "-o", "json", "--max-events", "101")
    target.fire(4, 499)
    summary = collector.wait()
    assert len(events_of(collector)) == 101
    match = re.search(r"([\d,]+) hits = 101 delivered (?:\+ ([\d,]+) filtered )?\+ 0 lost", summary)
    assert match is not None, summary
    assert int(match[1].replace(",", "")) == 101 + int((match[2] or "0").replace(",", ""))
    assert "unaccounted" not in summary


def test_a_duration_ends_it(bench: Bench) -> None:
    target = bench.target(numbers_only(), "dnt")
    begun = time.monotonic()
    collector = bench.attach(target, "--duration", "0.3")
    assert collector.wait().startswith("detached after 0.")
    assert time.monotonic() - begun < 10


def test_the_end_of_the_target_ends_it(bench: Bench) -> None:
    target = bench.target(numbers_only(), "dnt")
    collector = bench.attach(target, "-o", "json")
    target.fire(1, 11)
    target.end()
    last = collector.wait()
    assert last.startswith(f"PID {target.pid} has exited; detached after ")
    assert "11 hits = 11 delivered" in last
    assert len(events_of(collector)) == 11


def test_a_reader_that_closes_the_pipe_ends_it_quietly(bench: Bench) -> None:
    target = bench.target(numbers_only(), "dnt")
    with subprocess.Popen(
        [JCOLLECT, "attach", str(target.pid), "-o", "compact"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as collector:
        assert collector.stdout is not None
        assert collector.stderr is not None
        assert collector.stderr.readline().startswith("armed 1 probe of 1 method in ")
        target.fire(1, 11)
        assert "com.acme.Orders#m0 return 1.00us 0" in collector.stdout.readline()
        collector.stdout.close()
        target.fire(1, 11)
        assert "22 hits = 22 delivered" in collector.stderr.readline()
        assert collector.stderr.read() == ""
        assert collector.wait(20) == 0


def test_observers_print_what_they_asked_for_until_the_collector_ends(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target)
    every = bench.observe(target.pid, "-o", "json")
    throws = bench.observe(f"unix:///run/jprobe/{target.pid}.sock", "--probe", "*__throw")
    few = bench.observe(target.pid, "-o", "json", "--max-events", "5")
    assert every.status() == f"observing 3 probes at unix:///run/jprobe/{target.pid}.sock"
    assert throws.status().startswith("observing 1 probe ")
    target.fire(3, 101)
    few.wait()
    assert len(events_of(few)) == 5
    assert "3 served" in collector.end()
    assert every.wait() == "observed 909 events; 0 lost"
    assert len(events_of(every)) == 909
    assert throws.wait() == "observed 303 events; 0 lost"
    assert all(" throw 1." in line and line.endswith("IllegalStateException") for line in throws.output)


def test_an_observer_reports_that_its_collector_was_killed(bench: Bench) -> None:
    target = bench.target(numbers_only(), "dnt")
    collector = bench.attach(target)
    observer = bench.observe(target.pid)
    collector.process.kill()
    assert observer.wait(code=1).endswith("disconnected before the end of the stream")


def test_top_shows_methods_and_totals(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target)
    top = bench.start("top", target.pid, "--events", "--interval", "0.2")
    wait_until(lambda: top.output, "the first block")
    target.fire(4, 1009)
    collector.end()
    top.wait()
    text = "\n".join(top.output)
    assert re.search(
        r" 8,072 +[\d.]+ms +[\d.]+us +1\.\d\dus +\d\.\d\dus +[\d.]+us +4,036  com\.acme\.Orders#place", text
    ), text
    assert "1 method, 8,072 calls, 4,036 errors; 12,108 events received, 0 lost" in text


def test_probes_that_cannot_be_woven_are_named_and_the_others_attached(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), "!nst", "d1t", "!det")
    collector = bench.start("attach", target.pid)
    assert collector.status() == (
        "jcollect: warning: 2 probes cannot be woven (see the program's stderr): "
        "com_acme_Orders:place__entry, com_acme_Orders:place__throw"
    )
    assert collector.status(1).startswith("armed 1 probe of 1 method in ")


def test_six_thousand_probes_attach_and_detach(bench: Bench) -> None:
    methods = [Method(f"com.acme.C{i // 20}", f"m{i}", (LONG,), LONG, "(J)J") for i in range(2000)]
    target = bench.target(StubImage(methods), "*6000:dnt")
    collector = bench.attach(target)
    assert re.search(r"armed 6,000 probes of 2,000 methods in \d+ ms", collector.status())
    target.fire(2, 3)
    summary = collector.end()
    assert "36,000 hits = 36,000 delivered" in summary
    assert target.semaphores() == 0

"""Probes that appear and retire while a collector is attached, and a collector that waits for the
first one.
"""

from __future__ import annotations

import json
import re
import signal
import threading

import pytest
from collector_fixtures import RETURN_FILTERED, Bench, Command, Target, events_of

from conditions import require_bpf, wait_until
from jcollect.layout.stub_library import STUB_LIBRARY_VERSION
from jcollect.probes.scan import scan_traceable
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jcollect.session.session import Session
from processes import opened
from recording import Recording
from stub_image import BOOLEAN, ENTRY, LONG, RETURN, STRING, Method, StubImage

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
PLACE_PATTERNS = ("nst", "d1t", "det")
LATER = Method("com.acme.Later", "come", (LONG,), LONG, "(J)J", kinds=(ENTRY, RETURN))
LATER_PATTERNS = ("nt", "dNt")
CALLS = 10007


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def later(generation: int = 2, method: Method = LATER) -> StubImage:
    return StubImage([method], generation=generation)


def load_and_wait(collector: Command, target: Target, line: int = 1) -> None:
    """Loads the later library, and waits until that line of the collector's stderr reports that it
    is armed.
    """
    target.load(later(), *LATER_PATTERNS)
    assert re.fullmatch(r"armed 2 (more )?probes of 1 method in \d+ ms", collector.status(line))


def numbers_of(recording: Recording, name: str) -> list[object]:
    return [event.values[0] for event in recording.end() if event.probe.name == name]


@pytest.mark.parametrize(
    "link_type", ["uprobe-multi", pytest.param("perf-event", marks=pytest.mark.takes_long)]
)
def test_a_library_that_comes_later_is_attached_to_and_counted_exactly(bench: Bench, link_type: str) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target, "--link", link_type, "-o", "json")
    everything, entries = Recording(target.pid), Recording(target.pid, ("*__entry",))
    others = Recording(target.pid, ("com.acme.Orders",))
    target.fire(1, 101)
    load_and_wait(collector, target)
    after = Recording(target.pid)
    target.fire(4, CALLS)
    summary = collector.end()
    before, since = 101, 4 * CALLS
    assert f"{3 * before + 5 * since:,} hits = {3 * before + 5 * since:,} delivered + 0 lost" in summary
    assert len(everything.end()) == 3 * before + 5 * since
    assert sorted(numbers_of(everything, "come__entry")) == list(range(since))
    assert len(entries.end()) == before + 2 * since
    assert {probe.name for probe in entries.probes.values()} == {"place__entry", "come__entry"}
    assert len(others.end()) == 3 * (before + since)
    assert {probe.method for probe in others.probes.values()} == {"place"}
    assert set(after.probes) == set(everything.probes) == set(range(5))
    assert {probe.state for probe in after.probes.values()} == {3}
    printed = [event for event in events_of(collector) if event["method"] == "come"]
    assert len(printed) == 2 * since
    assert target.semaphores() == 0


@pytest.mark.takes_long
def test_events_of_a_library_that_fires_from_its_first_moment_on_can_all_be_read(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target)
    recording = Recording(target.pid)
    for generation in range(2, 7):
        method = Method("com.acme.Later", f"come{generation}", (LONG,), kinds=(ENTRY,))
        target.load(later(generation, method), "nt", name=f"jprobe-1/{generation}.so")
        wait_until(
            lambda fired=3 + generation - 1: target.semaphores() == fired, "the next probe's semaphore"
        )
        target.fire(4, 503)
    collector.end()
    counts = [sum(event.probe.method == f"come{g}" for event in recording.end()) for g in range(2, 7)]
    assert counts == [4 * 503 * rounds for rounds in (5, 4, 3, 2, 1)]


def test_only_later_probes_that_match_are_attached_to(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target, "--probe", "*__return")
    load_line = re.compile(r"armed 1 more probe of 1 method in \d+ ms")
    target.load(later(), *LATER_PATTERNS)
    assert load_line.fullmatch(collector.status(1))
    assert target.semaphores() == 2
    target.fire(1, 103)
    assert "206 hits = 206 delivered + 0 lost" in collector.end()


def test_observers_and_top_learn_of_later_probes(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target)
    observer = bench.observe(target.pid, "-o", "json")
    top = bench.start("top", target.pid, "--events", "--interval", "0.2")
    wait_until(lambda: top.output, "the first block")
    load_and_wait(collector, target)
    assert observer.status(1) == "observing 2 more probes"
    target.fire(1, 1009)
    collector.end()
    assert observer.wait() == "observed 5,045 events; 0 lost"
    assert sum(event["method"] == "come" for event in events_of(observer)) == 2018
    top.wait()
    text = "\n".join(top.output)
    assert re.search(
        r" 1,009 +[\d.]+ms +[\d.]+us +1\.\d\dus +\d\.\d\dus +[\d.]+us +0  com\.acme\.Later#come", text
    ), text


def test_a_library_with_retired_probes_is_detached_from_and_keeps_its_hit_counts(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target)
    recording = Recording(target.pid)
    load_and_wait(collector, target)
    target.fire(1, 101)
    target.hold(0, RETURN_FILTERED, 17, library=1)
    target.retire(1)
    wait_until(lambda: target.semaphores() == 3, "the collector to detach from the later library")
    target.fire(1, 103)
    listed = Client(parse_address(str(target.pid))).list_probes()
    assert [(p.name, p.state, p.filtered) for p in listed[3:]] == [
        ("come__entry", 5, 0),
        ("come__return", 5, 17),
    ]
    assert "831 hits = 814 delivered + 17 filtered + 0 lost" in collector.end()
    assert len(recording.end()) == 814


def test_a_mapping_at_the_address_of_an_unmapped_library_is_not_confused_with_it(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    target.load(later(), *LATER_PATTERNS)
    session = Session()
    try:
        session.start()
        tracee = session.join(scan_traceable(opened(target.pid)), lambda probe: True)
        tracee.attach()
        target.fire(1, 101)
        target.hold(0, RETURN_FILTERED, 17, library=1)
        tracee.follow(pytest.fail)
        target.hold(0, RETURN_FILTERED, 19, library=1)  # No scan happens before it is unmapped.
        target.unload(1)
        tracee.follow(pytest.fail)
        target.fire(1, 103)
        come = [probe for probe in session.describe() if probe.method == "come"]
        totals = session.detach()
    finally:
        session.close()
    assert [(probe.name, probe.state, probe.semaphore_count, probe.filtered) for probe in come] == [
        ("come__entry", 5, 0, 0),
        ("come__return", 5, 0, 17),
    ]
    assert (totals.hits, totals.delivered, totals.filtered, totals.lost) == (831, 814, 17, 0)


def test_retired_probes_are_not_attached_to(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    target.load(later(), *LATER_PATTERNS)
    target.retire(1)
    states = {"come__entry": "retired", "come__return": "retired"}

    def listed() -> dict[str, str]:
        every = json.loads(bench.run("probes", target.pid, "--json").stdout)
        return {each["name"]: each["state"] for each in every if each["class"] == "com.acme.Later"}

    wait_until(lambda: listed() == states, "the later probes to be retired")
    refused = bench.run("attach", target.pid, "--probe", "come*")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"jcollect: all matching probes of PID {target.pid} are retired: their classes were unloaded or "
        "their methods unselected; add --wait to wait for probes\n"
    )
    collector = bench.attach(target)
    assert collector.status().startswith("armed 3 probes of 1 method in ")
    assert target.semaphores() == 3


@pytest.mark.parametrize("is_jvm", [True, False])
def test_waiting_for_the_first_library_of_a_process(bench: Bench, is_jvm: bool) -> None:
    target = bench.bare_target(is_jvm)
    collector = bench.start("attach", target.pid, "--wait", "-o", "json")
    assert collector.status() == (
        f"waiting for probes of PID {target.pid} (target); serving unix:///run/jprobe/{target.pid}.sock"
    )
    recording = Recording(target.pid)
    assert recording.probes == {}
    load_and_wait(collector, target)
    target.fire(4, CALLS)
    assert f"{8 * CALLS:,} hits = {8 * CALLS:,} delivered + 0 lost" in collector.end()
    assert sorted(numbers_of(recording, "come__entry")) == list(range(4 * CALLS))
    assert len(events_of(collector)) == 8 * CALLS


def test_waiting_for_a_glob_to_match(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    refused = bench.run("attach", target.pid, "--probe", "com.acme.Later")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "jcollect: --probe 'com.acme.Later' matches none of the 3 probes of PID "
    )
    assert refused.stderr.endswith("; add --wait to wait for probes\n")
    collector = bench.start("attach", target.pid, "--wait", "--probe", "com.acme.Later", "--max-events", "13")
    assert collector.status().startswith(
        f"waiting for probes of PID {target.pid} (target) that match --probe 'com.acme.Later'; serving "
    )
    assert target.semaphores() == 0
    load_and_wait(collector, target)
    assert target.semaphores() == 2
    target.fire(1, 101)
    assert re.search(r"202 hits = 13 delivered \+ 189 filtered \+ 0 lost", collector.wait())


def test_an_agent_that_has_no_probes_yet_can_be_waited_for(bench: Bench) -> None:
    agent = StubImage([], generation=0, selectors=["com.acme.**#*"])
    target = bench.target(agent, name="jprobe-1/0.so")
    refused = bench.run("attach", target.pid)
    assert refused.returncode == 1
    assert "has the jprobe agent but no probes: 'com.acme.**#*' traces no method" in refused.stderr
    assert refused.stderr.endswith("; add --wait to wait for probes\n")
    collector = bench.start("attach", target.pid, "--wait")
    assert collector.status().startswith("waiting for probes of PID ")
    load_and_wait(collector, target)
    target.fire(1, 7)
    assert "14 hits = 14 delivered + 0 lost" in collector.end()


@pytest.mark.parametrize("how", ["duration", "interrupt", "exit"])
def test_a_waiting_collector_ends_for_the_same_reasons(bench: Bench, how: str) -> None:
    target = bench.bare_target()
    collector = bench.start(
        "attach", target.pid, "--wait", *(["--duration", "0.3"] if how == "duration" else [])
    )
    assert collector.status().startswith("waiting for probes of PID ")
    if how == "interrupt":
        collector.process.send_signal(signal.SIGINT)
    if how == "exit":
        target.end()
    last = collector.wait()
    assert last.startswith(f"PID {target.pid} has exited; detached" if how == "exit" else "detached after ")
    assert "0 hits = 0 delivered + 0 lost" in last


def test_probes_without_a_free_id_are_named_and_the_others_traced(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target, "--max-probes", "4")
    target.load(later(), *LATER_PATTERNS)
    assert collector.status(1) == (
        "jcollect: warning: 1 probe left out, because only 4 probe IDs are available; "
        "attach again with a larger --max-probes: com_acme_Later:come__return"
    )
    assert collector.status(2).startswith("armed 1 more probe of 1 method in ")
    assert target.semaphores() == 4
    target.fire(4, 101)
    assert "1,616 hits = 1,616 delivered + 0 lost" in collector.end()


def test_more_probes_than_ids_at_the_start(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.start("attach", target.pid, "--max-probes", "1")
    assert collector.status().startswith(
        "jcollect: warning: 2 probes left out, because only 1 probe IDs are available"
    )
    assert collector.status(1).startswith("armed 1 probe of 1 method in ")
    target.fire(1, 13)
    assert "13 hits = 13 delivered + 0 lost" in collector.end()


def test_a_later_broken_library_is_reported_once_and_those_after_it_are_attached_to(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target)
    target.load(StubImage([LATER], version=1), *LATER_PATTERNS, name="jprobe-1/5.so")
    assert collector.status(1).endswith(
        f"its layout has version 1, and this jcollect reads {STUB_LIBRARY_VERSION}"
    )
    load_and_wait(collector, target, line=2)
    collector.end()
    assert len(collector.errors) == 4


def test_a_later_refusal_is_reported(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PLACE_PATTERNS)
    collector = bench.attach(target)
    target.load(StubImage([], generation=2, refusal="too many"), name="jprobe-1/2.so")
    assert collector.status(1) == (
        f"jcollect: warning: PID {target.pid} traces nothing any more, because it has loaded more classes: "
        "too many; end this command, and attach again with narrower selectors"
    )


def test_subscribers_that_connect_while_probes_appear_get_each_described_once(bench: Bench) -> None:
    target = bench.bare_target()
    collector = bench.start("attach", target.pid, "--wait")
    assert collector.status().startswith("waiting ")
    recordings: list[Recording] = []
    loaded = threading.Event()

    def subscribe() -> None:
        while not loaded.is_set() and len(recordings) < 50:
            recordings.append(Recording(target.pid))

    subscriber = threading.Thread(target=subscribe)
    subscriber.start()
    for generation in range(2, 8):
        method = Method("com.acme.Later", f"come{generation}", (LONG,), kinds=(ENTRY,))
        target.load(later(generation, method), "nt", name=f"jprobe-1/{generation}.so")
        wait_until(lambda up=generation - 1: target.semaphores() == up, "the next semaphore")
    loaded.set()
    subscriber.join()
    target.fire(1, 11)
    collector.end()
    assert len(recordings) > 6
    for recording in recordings:
        assert len(recording.end()) == 66
        assert set(recording.probes) == set(range(6))

"""Calls that a real program counts in histograms: exact, without events, and with nothing left behind."""

from __future__ import annotations

import errno
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_fixtures import Bench, Command

from conditions import require_bpf, wait_until
from java_target import JDKS, NOBODY, ROOT, Jdk, Process, newest_jdk
from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.layout.gate import SINKS_COUNT
from jcollect.probes.probe import TIMED_KINDS
from jcollect.probes.scan import Scan, scan
from jcollect.probes.sinks import Sinks
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.process import Process as OpenProcess
from prime_calls import leftovers, prime_calls, run_calls

ORDERS = "PrimeCalls$Orders#*"
SELECT = ("--select", ORDERS, "--max-overhead", 0)


@pytest.fixture
def jvm(shared_targets: Path) -> Iterator[Process]:
    require_bpf()
    with prime_calls(newest_jdk, shared_targets, before=NOBODY) as process:
        yield process


def calls_in(command: Command) -> dict[tuple[str, str], list[int]]:
    """Returns calls and errors by method and descriptor in lines of JSON, added up; checks each line."""
    sums: dict[tuple[str, str], list[int]] = {}
    for line in map(json.loads, command.output):
        counts = line["bucket_counts"]
        histogram = ExponentialHistogram.of_buckets(
            dict(enumerate(counts, line["offset"])), line["zero_count"], line["sum_ns"], line["scale"]
        )
        assert histogram.count == line["calls"]
        assert 0 < line["p50_ns"] <= line["p90_ns"] <= line["p99_ns"] <= line["p999_ns"] <= line["max_ns"]
        assert line["sum_ns"] <= line["max_ns"] * 1.03 * line["calls"]
        assert line["start_unix_ns"] < line["end_unix_ns"]
        found = sums.setdefault((line["method"], line["descriptor"]), [0, 0])
        found[0] += line["calls"]
        found[1] += line["errors"]
    return sums


def is_counting(pid: int) -> bool:
    """Returns true if the agent has turned on the counts of all probes of ORDERS at which calls end."""
    with OpenProcess.open(pid) as process:
        slots = timed_slots(scan(process, lambda _: None))
        return all((Sinks(library, each).read() & SINKS_COUNT).all() for library, each in slots)


def timed_slots(found: Scan) -> Iterator[tuple[StubLibrary, list[int]]]:
    for library in found.libraries:
        probes = library.image.manifest.probes
        slots = [number for number, probe in enumerate(probes) if probe.kind in TIMED_KINDS]
        if slots:
            yield library, slots


def expected(tallies: dict[str, int]) -> dict[tuple[str, str], list[int]]:
    return {
        ("place", "(I)J"): [tallies["place.entry"], tallies["place.throw"]],
        ("place", "(JLjava/lang/String;)Z"): [tallies["place2.entry"], tallies["place2.throw"]],
        ("depth", "(S)I"): [tallies["depth.entry"], 0],
        ("label", "(ZBC)Ljava/lang/String;"): [tallies["label.entry"], 0],
        ("touch", "()V"): [tallies["touch.entry"], 0],
        ("<init>", "()V"): [4, 0],
    }


@pytest.mark.parametrize("jdk", JDKS, ids=str)
@pytest.mark.parametrize("interval", [(), ("--interval", "0.2")])
def test_every_call_is_in_a_histogram(
    bench: Bench, shared_targets: Path, jdk: Jdk, interval: tuple[str, ...]
) -> None:
    require_bpf()
    with prime_calls(jdk, shared_targets, before=NOBODY) as jvm:
        hist = bench.start("hist", jvm.pid, *SELECT, "-o", "json", *interval)
        hist.line_with("armed 12 probes of 6 methods")
        tallies = run_calls(jvm)
        last = hist.end()
        assert calls_in(hist) == expected(tallies)
        calls = sum(each for each, _ in expected(tallies).values())
        assert f"{calls:,} hits = 0 delivered + {calls:,} counted + 0 lost" in last
        wait_until(lambda: not leftovers(jvm.pid), "the agent to leave")


def test_status_counts_what_is_only_counted(bench: Bench, jvm: Process) -> None:
    hist = bench.start("hist", jvm.pid, *SELECT, "--interval", "0.2")
    hist.line_with("armed ")
    calls = sum(each for each, _ in expected(run_calls(jvm)).values())
    shown = bench.run("status", jvm.pid).stdout
    assert f"hits: {calls:,} hits = 0 delivered + {calls:,} counted + 0 filtered + 0 lost" in shown
    assert re.search(r"\n +HITS +DELIVERED +COUNTED +FILTERED ", shown)
    hist.end()
    text = "\n".join(hist.output)
    assert re.search(
        r"\ntotals of [\d.]+ s\n +CALLS +MEAN +P50 +P90 +P99 +P99\.9 +MAX +ERRORS  METHOD\n", text
    )
    assert f"6 methods, {calls:,} calls; percentiles and MAX: at most 2.2% too high or too low" in text


def test_one_method_is_shown_with_its_histogram(bench: Bench, jvm: Process) -> None:
    hist = bench.start("hist", jvm.pid, "--select", "PrimeCalls$Orders#touch", "--max-overhead", 0)
    hist.line_with("armed ")
    calls = run_calls(jvm)["touch.entry"]
    hist.end()
    bars = [re.fullmatch(r" *\S+(?: to \S+)?  +([\d,]+)(?:  @+)?", line) for line in hist.output]
    assert sum(int(bar[1].replace(",", "")) for bar in bars if bar) == calls


def test_top_counts_without_events(bench: Bench, jvm: Process) -> None:
    top = bench.start("top", jvm.pid, *SELECT, "--interval", "0.2")
    top.line_with("armed ")
    tallies = run_calls(jvm)
    assert "counted + 0 lost" in top.end()
    calls = sum(each for each, _ in expected(tallies).values())
    errors = sum(each for _, each in expected(tallies).values())
    assert top.output[-1] == f"6 methods, {calls:,} calls, {errors:,} errors; {calls:,} calls counted"
    assert re.search(
        rf"^ *{tallies['place.entry']:,} .* PrimeCalls\$Orders#place\(I\)J$", "\n".join(top.output), re.M
    )


@pytest.mark.parametrize("verb", ["hist", "top"])
def test_clients_count_the_calls_of_a_collector_of_events(bench: Bench, jvm: Process, verb: str) -> None:
    collector = bench.start("attach", jvm.pid, *SELECT)
    collector.line_with("armed 18 probes")
    client = bench.start(verb, jvm.pid, "--interval", "0.2")
    wait_until(lambda: client.output, "the first table")
    tallies = run_calls(jvm)
    calls = sum(each for each, _ in expected(tallies).values())
    last = collector.end()
    client.wait()
    # All calls are events as well, and books of events do not have them twice.
    assert f"{2 * calls:,} hits = {2 * calls:,} delivered + 0 lost" in last
    assert f"6 methods, {calls:,} calls" in client.output[-1]


@pytest.mark.parametrize("verb", ["hist", "top"])
@pytest.mark.parametrize("end", ["duration", "signal"])
def test_clients_count_the_calls_since_the_last_interval(
    bench: Bench, jvm: Process, verb: str, end: str
) -> None:
    collector = bench.start("attach", jvm.pid, *SELECT)
    collector.line_with("armed 18 probes")
    client = bench.start(verb, jvm.pid, "--interval", 60, *(("--duration", 10) if end == "duration" else ()))
    wait_until(lambda: is_counting(jvm.pid), "the agent to count")
    tallies = run_calls(jvm)
    if end == "signal":
        client.end()
    else:
        client.wait()
    calls = sum(each for each, _ in expected(tallies).values())
    assert f"6 methods, {calls:,} calls" in client.output[-1]
    collector.end()


@pytest.mark.parametrize("verb", ["hist", "top"])
def test_a_program_that_cannot_count_is_an_error(bench: Bench, shared_targets: Path, verb: str) -> None:
    require_bpf()
    without_memfd = (sys.executable, str(ROOT / "tests/no_memfd.py"), str(errno.EPERM))
    with prime_calls(newest_jdk, shared_targets, before=without_memfd) as jvm:
        refused = bench.run(verb, jvm.pid, *SELECT, "--duration", 5)
    assert refused.returncode == 1
    assert "0 calls" not in refused.stdout
    assert "exact" not in refused.stdout
    assert "armed" not in refused.stderr
    assert refused.stderr.splitlines()[-1] == (
        f"jcollect: cannot count the calls of PID {jvm.pid}: its agent has created no memory for histograms; "
        "the program's stderr says why"
    )
    assert any("cannot create the memory of the histograms: " in line for line in jvm.err)


def test_a_killed_collector_leaves_no_method_counted(bench: Bench, jvm: Process) -> None:
    hist = bench.start("hist", jvm.pid, *SELECT)
    hist.line_with("armed ")
    hist.process.send_signal(signal.SIGKILL)
    hist.process.wait()
    wait_until(lambda: not leftovers(jvm.pid), "the agent to leave")
    assert run_calls(jvm)["touch.entry"]


def test_a_second_collector_counts_from_its_own_begin(bench: Bench, jvm: Process) -> None:
    first = bench.start("hist", jvm.pid, *SELECT, "-o", "json")
    first.line_with("armed ")
    before = run_calls(jvm)
    second = bench.start("hist", jvm.pid, *SELECT, "-o", "json")
    second.line_with("armed ")
    after = run_calls(jvm)
    for command in (second, first):
        command.process.send_signal(signal.SIGINT)
        command.wait()
    assert calls_in(second)["touch", "()V"] == [after["touch.entry"], 0]
    assert calls_in(first)["touch", "()V"] == [before["touch.entry"] + after["touch.entry"], 0]


def test_a_killed_program_leaves_its_counts(bench: Bench, jvm: Process) -> None:
    hist = bench.start("hist", jvm.pid, *SELECT, "-o", "json")
    hist.line_with("armed ")
    tallies = run_calls(jvm)
    jvm.signal(signal.SIGKILL)
    last = hist.wait()
    assert last.startswith(f"PID {jvm.pid} has exited; detached after ")
    assert calls_in(hist) == expected(tallies)

"""`jcollect observe` on the events that a collector of a real program still holds: their number is that of
the program's own tallies, whatever is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    ORDERS,
    ORDERS_PROBES,
    attach,
    finish,
    java,
    newest_jdk,
    run,
    wait_for_probes,
)
from prime_calls import run_calls


class Traced(NamedTuple):
    """A collector that holds all events of one run of calls, and the program's tallies."""

    pid: int
    tallies: dict[str, int]


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="module")
def traced(targets: Path) -> Iterator[Traced]:
    require_bpf()
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        options = ("--history", "64MiB", "--redact", "item.*", "--probe", "*Orders#place")
        with attach(target.pid, *options) as collector:
            tallies = run_calls(target)
            expected = places(tallies)
            wait_until(lambda: len(observed(target.pid)) == expected, "all events in the history")
            yield Traced(target.pid, tallies)
            assert " 0 lost" in finish(collector)


def places(tallies: dict[str, int]) -> int:
    """Returns the number of events of both methods place."""
    return 2 * (tallies["place.entry"] + tallies["place2.entry"])


def observed(pid: int, *options: str) -> list[dict[str, Any]]:
    """Returns the events that observe prints of the history."""
    done = run(JCOLLECT, "observe", pid, "--no-follow", "-o", "json", *options, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_condition_divides_the_events(traced: Traced) -> None:
    tallies = traced.tallies
    returned = observed(traced.pid, "--where", "return == true or return == false")
    assert len(returned) == tallies["place2.return"]
    assert sum(event["value"] for event in returned) == tallies["place2.true"]
    thrown = observed(traced.pid, "--where", "exception == 'java.lang.IllegalStateException'")
    others = observed(traced.pid, "--where", "exception != 'java.lang.IllegalStateException'")
    assert len(thrown) + len(others) == tallies["place.throw"] + tallies["place2.throw"]
    assert {event["exception"] for event in thrown} == {"java.lang.IllegalStateException"}


def test_the_last_events_are_printed(traced: Traced) -> None:
    every = observed(traced.pid)
    assert observed(traced.pid, "--last", "107") == every[-107:]
    returns = [event for event in every if event["kind"] == "return"]
    assert observed(traced.pid, "--last", "13", "--probe", "*__return") == returns[-13:]


def test_a_stream_goes_on_where_the_history_ends(traced: Traced) -> None:
    every = observed(traced.pid)
    done = run(JCOLLECT, "observe", traced.pid, "--last", 50, "--duration", 1, "-o", "json", timeout=60)
    assert [json.loads(line) for line in done.stdout.splitlines()] == every[-50:]


def test_what_is_left_out_is_counted(traced: Traced) -> None:
    entries = traced.tallies["place.entry"] + traced.tallies["place2.entry"]
    options = ("--deny", "*__return", "--deny", "*__throw", "--sample-every", "100")
    done = run(JCOLLECT, "observe", traced.pid, "--no-follow", *options, timeout=60)
    printed = len(done.stdout.splitlines())
    assert 0 < printed <= entries // 100 + 2
    assert f"{entries - printed:,} left out (sampling {entries - printed:,})" in done.stderr


def test_secrets_are_redacted(traced: Traced) -> None:
    texts = {
        event["args"][1] for event in observed(traced.pid, "--probe", "*__entry") if len(event["args"]) == 2
    }
    assert "***" in texts
    assert not any("item" in text for text in texts if text is not None)


def test_a_condition_that_no_probe_fits_is_one_sentence(traced: Traced) -> None:
    done = run(JCOLLECT, "observe", traced.pid, "--where", "cty == 'Riga'")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"jcollect: the collector at unix:///run/jprobe/{traced.pid}.sock rejects the request: where, "
        "column 1: no probe has a value 'cty'; place"
    )


def test_a_collector_that_only_counts_has_no_events(targets: Path, tmp_path: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid, "--no-events", "--metrics", f"unix://{tmp_path}/m.sock") as collector:
            done = run(JCOLLECT, "observe", target.pid, timeout=60)
            finish(collector)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("the collector only counts calls, and has no events")

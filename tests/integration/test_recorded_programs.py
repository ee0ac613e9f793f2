"""Recordings of a real program: complete, with the hit counts, and readable after SIGKILL."""

from __future__ import annotations

import json
import signal
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from conditions import require_bpf, wait_until
from java_target import JCOLLECT, ORDERS, Process, jcollect, newest_jdk, run
from prime_calls import hits_of, leftovers, prime_calls, run_calls
from recorded import read, seqs


@pytest.fixture
def jvm(targets: Path) -> Iterator[Process]:
    require_bpf()
    with prime_calls(newest_jdk, targets) as process:
        yield process


def test_a_program_is_recorded_replayed_and_converted_exactly(jvm: Process, tmp_path: Path) -> None:
    path, parquet = tmp_path / "a.jprec", tmp_path / "a.parquet"
    with jcollect("record", jvm.pid, "-w", path, "--select", ORDERS, "--max-overhead", 0) as recorder:
        recorder.wait_for_line("armed ")
        tallies = run_calls(jvm)
        recorder.signal(signal.SIGINT)
        assert recorder.wait() == 0, recorder.err
    hits = hits_of(tallies)
    assert any(f"recorded {hits:,} events in {path}" in line for line in recorder.err), recorder.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    items, recording = read(path)
    assert len(seqs(items)) == hits
    assert recording.warnings == []
    status = recording.facts.status
    assert status is not None
    assert (status.counts.hits, status.counts.delivered) == (hits, hits)
    assert sum(each.counts.hits for each in status.probes) == hits
    assert [each.pid for each in status.processes] == [jvm.pid]
    replayed = run(JCOLLECT, "replay", path, "-o", "json")
    printed = Counter(
        (line["method"], line["kind"]) for line in map(json.loads, replayed.stdout.splitlines())
    )
    for method in ("depth", "label", "touch"):
        assert printed[method, "entry"] == tallies[f"{method}.entry"]
    assert run(JCOLLECT, "convert", path, parquet).returncode == 0
    rows = duckdb.execute(f"select method, kind, count(*) from '{parquet}' group by all").fetchall()
    assert {(method, kind): count for method, kind, count in rows} == printed
    wait_until(lambda: leftovers(jvm.pid) == [], "the agent to shut down")


def test_a_killed_recorder_leaves_a_file_and_no_probes(jvm: Process, tmp_path: Path) -> None:
    path = tmp_path / "a.jprec"
    with jcollect("record", jvm.pid, "-w", path, "--select", ORDERS, "--max-overhead", 0) as recorder:
        recorder.wait_for_line("armed ")
        hits = hits_of(run_calls(jvm))
        wait_until(lambda: len(seqs(read(path)[0])) == hits, "the events to be written", 5)
        recorder.signal(signal.SIGKILL)
        recorder.wait()
    items, recording = read(path)
    assert len(seqs(items)) == hits
    assert len(recording.warnings) == 1
    assert "its recorder was killed, or still runs" in recording.warnings[0]
    # Recording again replaces the file only with --force.
    refused = run(JCOLLECT, "record", jvm.pid, "-w", path, "--select", ORDERS)
    assert refused.returncode == 1
    assert "or --force to replace a recording" in refused.stderr

"""Converts recordings, and reads the results with the readers of other projects."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

from java_target import JCOLLECT, run
from jcollect.convert.backwards import Backwards
from jcollect.convert.calls import Nesting
from jcollect.convert.stacks import Stacks, frame_name
from jcollect.hub.items import Loss, Schema
from jprobe.v1 import probe_pb2
from recorded import BEGIN, columns, numbered, probe, record, value

LONG, STRING = probe_pb2.VALUE_TYPE_LONG, probe_pb2.VALUE_TYPE_STRING
GO = shutil.which("go") or "/usr/local/go/bin/go"
# Time of the end, probe, thread and duration: outer(0-1000) calls inner(100-400), which calls leaf(200-300),
# then inner(500-900); and another thread has a call of its own.
NESTED = [(300, 3, 7, 100), (400, 2, 7, 300), (500, 3, 8, 50), (900, 2, 7, 400), (1000, 1, 7, 1000)]


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    path = tmp_path / "nested.jprec"
    probes = [
        probe(1, 2, value("sql", STRING), method="outer"),
        probe(2, 3, method="inner"),
        probe(3, 2, value("rows", LONG), method="leaf"),
        probe(4, 1, value("city", STRING), method="begin"),
    ]
    events = [*NESTED, (2000, 4, 7, 0)]
    words = [5, 2**64 - 6, 1 << 32 | 8, 1 << 32 | 5]
    batch = columns(events, words, b"select 1" + "Żó".encode() + b"!")
    record(path, [Schema(probes), batch, Loss(1, 17, {1: 17})])
    return path


def convert(path: Path, out: Path | str, *options: str) -> str:
    done = run(JCOLLECT, "convert", path, out, *options)
    assert done.returncode == 0, done.stderr
    return str(done.stderr)


def test_json_lines_are_those_of_replay(nested: Path, tmp_path: Path) -> None:
    said = convert(nested, tmp_path / "a.jsonl", "--json-strings")
    assert "converted 6 events to" in said
    assert "17 lost (kernel ring 17)" in said
    replayed = run(JCOLLECT, "replay", nested, "-o", "json", "--json-strings")
    assert (tmp_path / "a.jsonl").read_text() == replayed.stdout
    first = json.loads(replayed.stdout.splitlines()[0])
    assert (first["method"], first["value"], first["duration_ns"]) == ("leaf", "5", "100")
    assert os.stat(tmp_path / "a.jsonl").st_mode & 0o777 == 0o600


def test_duckdb_reads_parquet(nested: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    convert(nested, out)
    query = (
        "select method, kind, duration_nanos, epoch_ns(time), rows, sql, city, thread from $1 order by seq"
    )
    rows = duckdb.execute(query.replace("$1", f"'{out}'")).fetchall()
    assert rows == [
        ("leaf", "return", 100, BEGIN + 300, 5, None, None, 7),
        ("inner", "throw", 300, BEGIN + 400, None, None, None, 7),
        ("leaf", "return", 50, BEGIN + 500, -6, None, None, 8),
        ("inner", "throw", 400, BEGIN + 900, None, None, None, 7),
        ("outer", "return", 1000, BEGIN + 1000, None, "select 1", None, 7),
        ("begin", "entry", 0, BEGIN + 2000, None, None, "Żó!", 7),
    ]
    metadata = pq.read_schema(out).metadata
    assert json.loads(metadata[b"jprobe.lost"]) == {"kernel_ring": 17}


def test_arrow_files_have_the_same_rows_as_parquet(nested: Path, tmp_path: Path) -> None:
    convert(nested, tmp_path / "a.arrow")
    convert(nested, tmp_path / "a.parquet")
    with pa.ipc.open_file(tmp_path / "a.arrow") as file:
        arrow = file.read_all()
    assert arrow.num_rows == 6
    parquet = pq.read_table(tmp_path / "a.parquet")
    for name in arrow.column_names:
        plain = (
            arrow.column(name).cast(pa.string())
            if pa.types.is_dictionary(arrow.schema.field(name).type)
            else arrow.column(name)
        )
        other = parquet.column(name)
        other = other.cast(pa.string()) if pa.types.is_dictionary(other.type) else other
        assert plain.cast(other.type).combine_chunks().equals(other.combine_chunks()), name


def test_calls_are_nested_by_what_encloses_them(nested: Path) -> None:
    source = Backwards([str(nested)], [])
    calls = [call for item in Nesting(source).batches() if isinstance(item, tuple) for call in item[1]]
    found = [(call.start - BEGIN, call.end - BEGIN, call.callers, call.probe, call.thread) for call in calls]
    assert found == [
        (0, 1000, (), 1, 7),
        (500, 900, (1,), 2, 7),
        (450, 500, (), 3, 8),
        (100, 400, (1,), 2, 7),
        (200, 300, (1, 2), 3, 7),
    ]
    sums = {stack: (each.calls, each.nanos) for stack, each in Stacks(source).sums.items()}
    outer, inner, leaf = (f"com.acme.Orders#{name}" for name in ("outer", "inner", "leaf"))
    assert sums == {
        (outer,): (1, 300),
        (outer, inner): (2, 600),
        (outer, inner, leaf): (1, 100),
        (leaf,): (1, 50),
    }


def test_calls_whose_times_overlap_a_little_are_cut(tmp_path: Path) -> None:
    """The probe at the end of a call fires late: the call seems to end after the next one has begun."""
    path = tmp_path / "a"
    record(
        path, [Schema([probe(1), probe(2)]), columns([(210, 1, 7, 200), (300, 1, 7, 100), (305, 2, 7, 300)])]
    )
    calls = [
        (call.probe, call.start - BEGIN, call.end - BEGIN, call.callers)
        for item in Nesting(Backwards([str(path)], [])).batches()
        if isinstance(item, tuple)
        for call in item[1]
    ]
    assert calls == [(2, 5, 305, ()), (1, 200, 300, (2,)), (1, 10, 199, (2,))]


def test_a_deep_stack_is_bounded(tmp_path: Path) -> None:
    count = 5000
    path = tmp_path / "a"
    events = [(count + i, 1, 7, 2 * i + 1) for i in range(count)]
    record(path, [Schema([probe(1)]), columns(events)])
    stacks = Stacks(Backwards([str(path)], []))
    assert stacks.calls == count
    assert max(map(len, stacks.sums)) == 1025


def test_an_id_that_is_reassigned_has_the_names_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    first, second = probe(1, method="first"), probe(1, 2, value("n", LONG), method="second")
    items = [
        Schema([first]),
        columns([(10_000, 1, 7, 5000)]),
        Schema([second]),
        columns([(20_000, 1, 7, 6000)], [9]),
    ]
    record(path, items)
    convert(path, tmp_path / "a.folded")
    assert (tmp_path / "a.folded").read_text() == "com.acme.Orders#first 5\ncom.acme.Orders#second 6\n"
    convert(path, tmp_path / "a.arrow")
    with pa.ipc.open_file(tmp_path / "a.arrow") as file:
        table = file.read_all()
    assert table.column("method").to_pylist() == ["first", "second"]
    assert table.column("n").to_pylist() == [None, 9]


# Go compiles pprof at its first use.
@pytest.mark.takes_long
@pytest.mark.skipif(not os.path.exists(GO), reason="go tool pprof is part of Go, which is not installed")
def test_pprof_reads_profiles(nested: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.pb.gz"
    assert "converted 5 calls" in convert(nested, out)
    environment = {**os.environ, "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    for index, expected in (
        ("calls", {"outer": 1, "inner": 2, "leaf": 2}),
        ("time", {"outer": 300, "inner": 600, "leaf": 150}),
    ):
        command = [GO, "tool", "pprof", "-top", "-unit=ns", f"-sample_index={index}", out]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=True, timeout=60
        )
        flat = {row[2]: int(row[1]) for row in re.finditer(r"(?m)^ *(\d+)(?:ns)? .*#(\w+)$", done.stdout)}
        assert flat == expected, done.stdout


def varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def test_profiles_have_the_published_fields(nested: Path, tmp_path: Path) -> None:
    """Where Go is missing: the numbers of the fields of profile.proto, and the strings."""
    convert(nested, tmp_path / "a.pb.gz")
    content = gzip.decompress((tmp_path / "a.pb.gz").read_bytes())
    found = defaultdict(list)
    at = 0
    while at < len(content):
        tag, at = varint(content, at)
        number, at = varint(content, at)
        if tag & 7 == 2:
            found[tag >> 3].append(content[at : at + number])
            at += number
        else:
            found[tag >> 3].append(number)
    assert len(found[1]) == 2
    assert len(found[2]) == 4
    assert len(found[4]) == len(found[5]) == 3
    assert found[6][0] == b""
    assert b"com.acme.Orders#leaf" in found[6]
    assert found[9] == [BEGIN]
    assert found[10] == [1000]


def test_perfetto_traces_nest_slices_on_tracks_of_threads(nested: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.pftrace"
    convert(nested, out)
    trace = perfetto_trace_pb2.Trace.FromString(out.read_bytes())
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")
    }
    threads = {uuid: each.thread.thread_name for uuid, each in tracks.items() if each.HasField("thread")}
    assert sorted(threads.values()) == ["Java thread 7", "Java thread 8"]
    (process,) = [each for each in tracks.values() if each.HasField("process")]
    assert process.process.pid == 4711
    names: dict[int, str] = {}
    events = []
    for packet in trace.packet:
        for name in packet.interned_data.event_names:
            names[name.iid] = name.name
        if packet.HasField("track_event"):
            assert packet.track_event.track_uuid in tracks
            events.append(packet)
    open_slices: dict[int, list[tuple[str, int]]] = defaultdict(list)
    slices, instants = [], {}
    kinds = perfetto_trace_pb2.TrackEvent
    for packet in sorted(events, key=lambda packet: packet.timestamp):
        event = packet.track_event
        values = {
            each.name: each.int_value or each.string_value or each.bool_value
            for each in event.debug_annotations
        }
        track = open_slices[event.track_uuid]
        if event.type == kinds.TYPE_SLICE_BEGIN:
            track.append((names[event.name_iid].partition("#")[2], packet.timestamp - BEGIN))
            slices.append((*track[-1], [name for name, _ in track[:-1]], values))
        elif event.type == kinds.TYPE_SLICE_END:
            track.pop()
        else:
            instants[names[event.name_iid]] = values
    assert not any(open_slices.values())
    threw = {"threw": True}
    assert sorted(slices, key=lambda each: each[1]) == [
        ("outer", 0, [], {"value": "select 1"}),
        ("inner", 100, ["outer"], threw),
        ("leaf", 200, ["outer", "inner"], {"value": 5}),
        ("leaf", 450, [], {"value": -6}),
        ("inner", 500, ["outer"], threw),
    ]
    assert instants == {
        "entry com.acme.Orders#begin": {"arg0": "Żó!"},
        "17 lost: kernel ring": {"events": 17},
    }


def test_babeltrace_reads_ctf(nested: Path, tmp_path: Path) -> None:
    convert(nested, f"{tmp_path}/ctf/")
    done = run("babeltrace2", "--clock-seconds", "--no-delta", "--names", "all", tmp_path / "ctf")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert f"{BEGIN // 10**9}.000000300" in lines[0]
    assert "com_acme_Orders:place3__return" in lines[0]
    assert "{ rows = 5 }" in lines[0]
    assert "{ rows = -6 }" in lines[2]
    assert "duration_ns = 400 }" in lines[3]
    assert 'sql = "select 1"' in lines[4]
    assert 'city = "Żó!"' in lines[5]
    again = run(JCOLLECT, "convert", nested, f"{tmp_path}/ctf/")
    assert again.returncode == 1
    assert "it exists; give the path of a new directory" in again.stderr


def test_probes_can_be_chosen(nested: Path, tmp_path: Path) -> None:
    for suffix in ("jsonl", "folded", "pftrace"):
        said = convert(nested, tmp_path / f"a.{suffix}", "--probe", "*#leaf")
        assert "converted 2 " in said
    none = run(JCOLLECT, "convert", nested, tmp_path / "b.folded", "--probe", "nothing")
    assert none.returncode == 1
    assert f"no probe of {nested} matches nothing" in none.stderr
    assert not (tmp_path / "b.folded").exists()


def test_what_cannot_be_written_is_an_error(nested: Path, tmp_path: Path) -> None:
    exists = tmp_path / "a.jsonl"
    exists.write_text("mine")
    link = tmp_path / "link.jsonl"
    link.symlink_to(exists)
    for arguments, code, problem in (
        ((exists,), 1, "it exists; give another path, or --force to replace it"),
        ((link, "--force"), 1, "it is not a regular file"),
        ((tmp_path / "a.txt",), 2, "its suffix names no format; use .jsonl, .parquet"),
        ((tmp_path / "a.arrow", "--json-strings"), 2, "--json-strings changes JSON"),
        ((tmp_path / "no" / "a.jsonl",), 1, "No such file or directory"),
    ):
        done = run(JCOLLECT, "convert", nested, *arguments)
        assert (done.returncode, problem in done.stderr) == (code, True), done.stderr
    assert exists.read_text() == "mine"
    convert(nested, exists, "--force")
    assert len(exists.read_text().splitlines()) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "link.jsonl", "nested.jprec"]


def test_a_recording_that_was_cut_off_is_converted_up_to_there(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    path.write_bytes(path.read_bytes()[:-10])
    for suffix in ("jsonl", "parquet", "folded", "pb.gz", "pftrace"):
        said = convert(path, tmp_path / f"b.{suffix}")
        assert "ends in the middle of a frame" in said
        assert "converted 1,000 " in said


def test_names_of_frames_cannot_be_mistaken_or_change_a_terminal() -> None:
    assert frame_name("a.Ż;b\n\x1b[2J\x9b\u202e") == "a.Ż_b__[2J__"

"""Replays recordings through the command line: printed, and served to real clients."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest

from conditions import wait_until
from java_target import JCOLLECT, Process, jcollect, run
from jcollect.exponential_histogram import upper_bound
from jcollect.hub.items import Loss, Schema, Throttling
from jcollect.recordings.replay_counts import ReplayCounts
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from recorded import BEGIN, columns, numbered, probe, read, record, seqs, value
from served import StillSource, described, one_event, serving

SECOND = 1_000_000_000


def status_with(hits: int) -> collector_pb2.GetStatusResponse:
    status = collector_pb2.GetStatusResponse(version="0.1.0", pid=99, link="uprobe-multi")
    status.counts.hits, status.counts.delivered, status.counts.lost_in_kernel_ring = hits, hits - 17, 17
    process = status.processes.add(pid=4711, name="Orders", probes=2)
    process.counts.hits = hits
    status.probes.add(probe=probe(1)).counts.hits = hits
    return status


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Returns a recording of two seconds with 2,000 calls, losses and throttling."""
    path = tmp_path / "a.jprec"
    events = [(i * 1_000_000, 1 + i % 2, 7 + i % 3, 1 + i) for i in range(2000)]
    probes = [probe(1, 2, value("id", 5), method="place"), probe(2, 3, method="cancel")]
    items = [
        Schema(probes),
        columns(events[:1000], range(500)),
        Loss(1, 17, {1: 17}),
        Throttling([2], [], 3),
        columns(events[1000:], range(500, 1000), first=1000),
        Loss(3, 5, {2: 5}),
    ]
    record(path, items, status=lambda: status_with(2022))
    return path


def served(recording: Path, tmp_path: Path, *options: str) -> tuple[Process, str]:
    address = f"unix://{tmp_path}/replay.sock"
    server = jcollect("replay", recording, "--listen", address, *options)
    server.wait_for_line("serving 2 recorded probes")
    return server, address


def test_a_recording_is_printed_with_its_losses(recording: Path) -> None:
    done = run(JCOLLECT, "replay", recording, "-o", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(2000))
    assert [line["value"] for line in lines if line["method"] == "place"] == list(range(1000))
    assert "replayed 2,000 events; 22 lost (kernel ring 17, subscriber 5)" in done.stderr
    assert (
        "throttled: too expensive, and will not fire for a while: com_acme_Orders:place2__throw"
        in done.stderr
    )
    assert "THROTTLED: 1 probes now, 3 calls throttled" in done.stderr
    compact = run(JCOLLECT, "replay", recording, "--probe", "*#cancel", "--max-events", 3, "--fail-on-loss")
    assert len(compact.stdout.splitlines()) == 3
    assert all("com.acme.Orders#cancel throw" in line for line in compact.stdout.splitlines())
    lossy = run(JCOLLECT, "replay", recording, "--probe", "*#cancel", "--fail-on-loss")
    assert lossy.returncode == 3
    assert "5 lost (subscriber 5)" in lossy.stderr


def test_a_recording_is_printed_at_its_pace(recording: Path) -> None:
    begun = time.monotonic()
    done = run(JCOLLECT, "replay", recording, "--speed", 4)
    assert 0.5 <= time.monotonic() - begun < 20
    assert len(done.stdout.splitlines()) == 2000
    slow = jcollect("replay", recording, "--speed", "0.01")
    slow.wait_for_line(".*com.acme")
    slow.signal(signal.SIGINT)
    assert slow.wait() == 0, slow.err
    slow.end()


def test_several_files_are_replayed_one_after_the_other(recording: Path, tmp_path: Path) -> None:
    other = numbered(tmp_path / "b", 5)
    done = run(JCOLLECT, "replay", recording, other, "--probe", "*#place*")
    assert len(done.stdout.splitlines()) == 1005


def test_what_is_no_recording_is_an_error(recording: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no recording at all")
    for arguments, code, problem in (
        ((text,), 1, f"cannot read {text}: it is not a recording of jcollect record"),
        ((tmp_path / "no",), 1, "No such file or directory"),
        ((tmp_path,), 1, "it is not a regular file"),
        ((recording, "--speed", "fast"), 2, "'fast' is not a speed"),
        ((recording, "--probe", "nothing"), 1, f"no probe of {recording} matches nothing"),
        ((recording, "--insecure"), 2, "--insecure needs --listen"),
        ((recording, "--listen", "unix:///x.sock", "-o", "json"), 2, "give them to the client"),
        ((recording, "--json-strings"), 2, "add -o json"),
    ):
        done = run(JCOLLECT, "replay", *arguments)
        assert (done.returncode, problem in done.stderr) == (code, True), done.stderr


def test_clients_read_a_served_recording_as_a_collector(recording: Path, tmp_path: Path) -> None:
    server, address = served(recording, tmp_path, "--speed", "max")
    with server:
        status = json.loads(run(JCOLLECT, "status", address, "--json").stdout)
        text = json.dumps(status)
        assert '"hits": 2022' in text
        with grpc.insecure_channel(address) as channel:
            stub = collector_pb2_grpc.CollectorServiceStub(channel)
            listed = stub.ListProbes(collector_pb2.ListProbesRequest())
            assert [each.method for each in listed.probes] == ["place", "cancel"]
            found = stub.GetStatus(collector_pb2.GetStatusRequest(top=1))
            assert [each.counts.hits for each in found.probes] == [2022]
            assert found.processes[0].name == "Orders"
            with pytest.raises(grpc.RpcError) as error:
                list(stub.Subscribe(collector_pb2.SubscribeRequest(globs=["nothing"])))
            assert error.value.code() == grpc.StatusCode.NOT_FOUND
        done = run(JCOLLECT, "observe", address, "-o", "json", "--probe", "*#place")
        assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == list(range(1000))
        assert "17 lost (kernel ring 17)" in done.stderr
        assert server.wait() == 0, server.err
    assert any("replayed 2,000 events; 1 served, 0 events lost" in line for line in server.err)


def test_a_served_recording_is_summed_up_by_top_and_hist(recording: Path, tmp_path: Path) -> None:
    for arguments in (("top",), ("hist", "-o", "json")):
        server, address = served(recording, tmp_path, "--speed", "10")
        with server:
            done = run(JCOLLECT, arguments[0], address, *arguments[1:])
            assert server.wait() == 0, server.err
        if arguments[0] == "top":
            assert re.search(r"1,000 .* 0  com.acme.Orders#place\b", done.stdout), done.stdout
            assert re.search(r"1,000 .* 1,000  com.acme.Orders#cancel", done.stdout), done.stdout
        else:
            calls: Counter[str] = Counter()
            for line in map(json.loads, done.stdout.splitlines()):
                calls[line["method"]] += line["calls"]
            assert calls == {"place": 1000, "cancel": 1000}


def test_a_slow_client_of_a_replay_loses_nothing(tmp_path: Path) -> None:
    """The replay waits, where a collector would drop."""
    path = numbered(tmp_path / "a", 1_000_000, 1 << 15)
    address = f"unix://{tmp_path}/replay.sock"
    with jcollect("replay", path, "--listen", address, "--speed", "max") as server:
        server.wait_for_line("serving")
        with grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", 8 << 20)]
        ) as channel:
            stream = collector_pb2_grpc.CollectorServiceStub(channel).Subscribe(
                collector_pb2.SubscribeRequest()
            )
            received = 0
            for number, message in enumerate(stream):
                received += len(message.batch.seq)
                assert not message.HasField("loss")
                if number == 3:
                    time.sleep(1.0)
        assert received == 1_000_000
        assert server.wait() == 0, server.err


def test_counts_of_a_replay_have_exact_buckets() -> None:
    dice = random.Random(1)
    bounds = [upper_bound(bucket) for bucket in range(-1, 700)]
    took = [
        0,
        1,
        2,
        3,
        *bounds[40:],
        *(bound + 1 for bound in bounds[40:]),
        *(dice.getrandbits(40) for _ in range(500)),
    ]
    counts = ReplayCounts(4)
    counts.describe(1, True)
    counts.describe(2, False)
    counts.add(columns([(i, 1, 7, each) for i, each in enumerate(took)]))
    counts.add(columns([(5, 2, 7, 9)]))
    (found,) = counts.all().values()
    assert (found.count, found.zero, found.total) == (len(took), 1, sum(took))
    expected: Counter[int] = Counter()
    for each in filter(None, took):
        bucket = next(bucket for bucket in range(-1, 1024) if each <= upper_bound(bucket))
        expected[bucket] += 1
    assert dict(found.buckets()) == expected
    assert counts.now == BEGIN + len(took) - 1


def publish(source: StillSource, first: int, count: int) -> None:
    for number in range(first, first + count):
        batch = one_event(0)
        source.hub.publish(batch.with_seq(np.array([number], np.uint64)))


def test_a_running_collector_is_recorded(tmp_path: Path) -> None:
    source = StillSource(described(3))
    path = tmp_path / "a.jprec"
    with serving(source, tmp_path) as address, jcollect("record", address.text, "-w", path) as recorder:
        recorder.wait_for_line("recording 3 probes")
        publish(source, 0, 100)
        wait_until(lambda: seqs(read(path)[0]) == list(range(100)), "the events to be written in time", 5)
        recorder.signal(signal.SIGINT)
        assert recorder.wait() == 0, recorder.err
        taken = run(JCOLLECT, "record", address.text, "-w", path)
        assert taken.returncode == 1
        assert "it exists; give another path, or --force to replace a recording" in taken.stderr
    items, found = read(path)
    assert seqs(items) == list(range(100))
    assert found.warnings == []
    assert found.facts.status is not None
    assert len(found.facts.status.probes) == 3
    assert found.facts.header.source == address.text
    assert found.facts.end is not None
    assert found.facts.end.end.epoch == source.hub.epoch
    assert any(f"recorded 100 events in {path}" in line for line in recorder.err)


def test_a_recorder_that_is_killed_leaves_what_it_has_written(tmp_path: Path) -> None:
    source = StillSource(described(3))
    with serving(source, tmp_path) as address:
        for number, pause in enumerate((0.05, 0.3)):
            path = tmp_path / f"{number}.jprec"
            with jcollect("record", address.text, "-w", path) as recorder:
                recorder.wait_for_line("recording 3 probes")
                publish(source, 0, 500)
                time.sleep(pause)
                publish(source, 500, 500)
                recorder.signal(signal.SIGKILL)
                recorder.wait()
            items, found = read(path)
            assert seqs(items) == list(range(len(seqs(items))))
            assert len(found.warnings) == 1
            if pause == 0.3:
                assert len(seqs(items)) >= 500
            done = run(JCOLLECT, "replay", path)
            assert done.returncode == 0
            assert "killed, or still runs" in done.stderr


def test_a_full_disk_ends_a_recording_with_an_error(tmp_path: Path) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    assert os.system(f"mount -t tmpfs -o size=1m tmpfs {mounted}") == 0
    try:
        source, path = StillSource(described(3)), mounted / "a.jprec"
        dice = np.random.default_rng(1)
        with serving(source, tmp_path) as address, jcollect("record", address.text, "-w", path) as recorder:
            recorder.wait_for_line("recording 3 probes")
            for first in range(0, 400_000, 10_000):
                many = columns(
                    [(0, 0, 1, 1)] * 10_000, dice.integers(0, 1 << 63, 10_000).tolist(), first=first
                )
                shapes = source_shapes(source)
                source.hub.publish(shapes.batch(many, shapes.value_counts(many.probe)))
            assert recorder.wait() == 1
        (error,) = [line for line in recorder.err if line.startswith("jcollect: cannot write")]
        assert f"cannot write to {path}: No space left on device; free some space" in error
        items, found = read(path)
        own = seqs(items)
        assert own == list(range(len(own)))
        assert found.warnings == []
        assert found.facts.end is not None
        assert found.facts.end.events == len(own)
        assert found.facts.end.not_written > 0
        replayed = run(JCOLLECT, "replay", path, "-o", "json")
        assert len(replayed.stdout.splitlines()) == len(own)
        assert "could not be recorded: the disk was full" in replayed.stderr
    finally:
        assert os.system(f"umount {mounted}") == 0


def source_shapes(source: StillSource) -> object:
    from jcollect.recordings.shapes import Shapes

    shapes = Shapes()
    shapes.add(source.probes)
    return shapes


def test_rotation_options(tmp_path: Path) -> None:
    source = StillSource(described(1))
    with serving(source, tmp_path) as address:
        options = ("--rotate-every", "1s", "--keep", 2, "--duration", 4)
        with jcollect("record", address.text, "-w", tmp_path / "t.jprec", *options) as recorder:
            recorder.wait_for_line("recording 1 probe")
            publish(source, 0, 10)
            recorder.wait_for_line("recorded 10 events in ")
            assert recorder.wait() == 0, recorder.err
    files = sorted(tmp_path.glob("t.*"))
    assert len(files) == 2
    assert files[0].name > "t.000000.jprec"
    done = run(JCOLLECT, "replay", *files)
    assert done.returncode == 0
    assert "warning" not in done.stderr
    for arguments, problem in (
        (("--keep", 2), "--keep needs --rotate-size or --rotate-every"),
        (("--rotate-size", "1"), "'1' is not a size of at least 1MiB"),
        (("--rotate-every", "soon"), "'soon' is not a time such as 90s"),
    ):
        bad = run(JCOLLECT, "record", address.text, "-w", tmp_path / "x", *arguments)
        assert (bad.returncode, problem in bad.stderr) == (2, True), bad.stderr

"""A recording ends completely when the disk, the quota or the limit of file sizes is used up."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jcollect.errors import JcollectError
from jcollect.hub.items import Events, Schema
from jcollect.recordings import recorder as recorder_module
from jcollect.recordings.frames import FrameEncoder, FrameType
from jcollect.recordings.output_file import RESERVED_BYTES, OutputFile
from jcollect.recordings.recorder import Recorder
from jprobe.v1 import collector_pb2, recording_pb2
from recorded import columns, probe, read, seqs, status_of, value


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Returns a directory with a file system of 1 MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def fill(recorder: Recorder, why: str = "No space left") -> int:
    """Records events until that fails; returns how many were taken."""
    dice = np.random.default_rng(1)
    recorder.take(Schema([probe(1, 2, value("id", 5))]))
    taken = 0

    def take_all() -> None:
        nonlocal taken
        for i in range(1000):
            numbers = dice.integers(0, 1 << 63, 1000).tolist()
            taken += 1000
            batch = columns([(i, 1, 7, 1)] * 1000, numbers, first=1000 * i)
            recorder.take(Events(batch))

    with pytest.raises(JcollectError, match=f"cannot write to .*{why}"):
        take_all()
    return taken


@pytest.mark.parametrize("events", [1000, 1 << 15])
def test_a_full_disk_leaves_a_complete_file(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_EVENTS", events)
    path = small_disk / "a"
    recorder = Recorder(str(path), "test", status=lambda: status_of(*range(3000)))
    taken = fill(recorder)
    recorder.complete()
    assert recorder.events + recorder.not_written == taken
    items, recording = read(path)
    assert seqs(items) == list(range(recorder.events))
    assert recording.warnings == []
    end = recording.facts.end
    assert end is not None
    assert end.reason == recording_pb2.RECORDING_END_REASON_FULL
    assert (end.events, end.not_written) == (recorder.events, recorder.not_written)
    assert recording.facts.status is not None
    assert recording.facts.status.counts.hits == sum(range(3000))


def large_status() -> collector_pb2.GetStatusResponse:
    """Returns hit counts that cannot be compressed to what is reserved for the last frames."""
    dice = np.random.default_rng(1)
    status = status_of(*dice.integers(0, 1 << 40, 12_000).tolist())
    frames = FrameEncoder().encode(FrameType.STATUS, status.SerializeToString())
    assert len(frames) > RESERVED_BYTES
    return status


def recorded_part(recorder: Recorder) -> None:
    """Records some events."""
    recorder.take(Schema([probe(1, 2, value("id", 5))]))
    recorder.take(Events(columns([(i, 1, 7, 1) for i in range(1000)], range(1000))))
    with recorder._lock:
        recorder._flush()


def has_sums_and_end(path: Path, status: collector_pb2.GetStatusResponse) -> None:
    items, recording = read(path)
    assert seqs(items) == list(range(1000))
    assert recording.warnings == []
    end = recording.facts.end
    assert end is not None
    assert (end.reason, end.events, end.not_written) == (recording_pb2.RECORDING_END_REASON_STOPPED, 1000, 0)
    assert recording.facts.status is not None
    assert recording.facts.status.counts.hits == status.counts.hits
    assert not recording.facts.status.probes


def test_a_disk_that_is_full_when_a_recording_stops_has_room_for_its_end(small_disk: Path) -> None:
    path, status = small_disk / "a", large_status()

    def filled() -> collector_pb2.GetStatusResponse:
        free = os.statvfs(small_disk)
        with (small_disk / "filler").open("wb", 0) as filler:
            assert filler.write(bytes(free.f_bavail * free.f_frsize)) > RESERVED_BYTES
        assert os.statvfs(small_disk).f_bavail == 0
        return status

    recorder = Recorder(str(path), "test", status=filled)
    recorded_part(recorder)
    with pytest.raises(JcollectError, match=r"cannot write to .*No space left"):
        recorder.complete()
    has_sums_and_end(path, status)


def test_a_limit_of_file_size_leaves_room_for_the_end(tmp_path: Path) -> None:
    path, status = tmp_path / "a", large_status()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(str(path), "test", status=lambda: status)
    try:
        recorded_part(recorder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + RESERVED_BYTES, hard))
        with pytest.raises(JcollectError, match=r"cannot write to .*File too large"):
            recorder.complete()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    has_sums_and_end(path, status)


def test_a_limit_of_file_size_ends_a_recording_before_it_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "a"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(str(path), "test", status=lambda: status_of(1, 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        taken = fill(recorder, "File too large")
        recorder.complete()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    end = read(path)[1].facts.end
    assert end is not None
    assert end.reason == recording_pb2.RECORDING_END_REASON_FULL
    assert (end.events, end.not_written) == (recorder.events, recorder.not_written)
    assert recorder.events + recorder.not_written == taken


@pytest.mark.parametrize("reserves", [True, False])
def test_a_quota_that_is_used_up_when_a_recording_stops_has_room_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserves: bool
) -> None:
    path, status = tmp_path / "a", large_status()
    recorder = Recorder(str(path), "test", status=lambda: status)
    recorded_part(recorder)
    most = path.stat().st_size + RESERVED_BYTES
    write = os.write

    def allocate(self: OutputFile, end: int) -> None:
        if not reserves:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if end > most:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def limited(file: int, content: bytes) -> int:
        left = most - os.fstat(file).st_size
        if left <= 0:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return write(file, content[:left])

    monkeypatch.setattr(OutputFile, "_allocate", allocate)
    monkeypatch.setattr(recorder._file, "_reserved", 0)
    monkeypatch.setattr(os, "write", limited)
    with pytest.raises(JcollectError, match=r"cannot write to .*Disk quota exceeded"):
        recorder.complete()
    monkeypatch.undo()
    has_sums_and_end(path, status)

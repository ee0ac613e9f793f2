"""Recordings: what was recorded is read again, as far as the file is complete, and whatever the file is."""

from __future__ import annotations

import os
import random
import resource
import stat
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lines import Batches

from jcollect.errors import JcollectError
from jcollect.hub.items import History, Loss, Position, Schema, Skipped, Throttling
from jcollect.hub.wire import encode
from jcollect.recordings import recorder as recorder_module
from jcollect.recordings.frames import HEAD, MOST_CONTENT_BYTES, FrameEncoder, FrameType
from jcollect.recordings.pieces import pieces
from jcollect.recordings.recorder import Recorder, Rotation, part_path
from jcollect.sources.columns import MOST_BYTES, Batch
from jcollect.sources.explanation import Explanation
from jprobe.v1 import collector_pb2, recording_pb2
from recorded import NAMES, columns, numbered, probe, read, record, seqs, status_of, value


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    for seed in range(3):
        batches = Batches(seed)
        parts = [batches.columns(331) for _ in range(3)]
        items = [
            Schema(batches.probes),
            *parts,
            Loss(1, 17, {3: 17}),
            Throttling([2], [], 5),
            batches.columns(1),
        ]
        path = tmp_path / f"{seed}.jprec"
        recorder = record(path, items, status=lambda: status_of(1, 2))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_size == recorder.bytes + len(HEAD)
        found, recording = read(path)
        assert list(found[0].probes) == batches.probes  # type: ignore[union-attr]
        assert found[2:4] == [items[4], items[5]]
        # Batches that come together are written together.
        assert [type(item) for item in found] == [Schema, Batch, Loss, Throttling, Batch]
        joined = found[1].columns  # type: ignore[union-attr]
        for name in NAMES:
            expected = np.concatenate([getattr(part, name) for part in parts])
            assert np.array_equal(getattr(joined, name), expected), name
        assert joined.text == b"".join(part.text for part in parts)
        assert recording.warnings == []
        assert recording.facts.status == status_of(1, 2)
        assert recording.facts.header.host == os.uname().nodename
        end = recording.facts.end
        assert end is not None
        assert (end.reason, end.events, end.not_written) == (
            recording_pb2.RECORDING_END_REASON_STOPPED,
            994,
            0,
        )


def test_what_concerns_the_subscription_alone_is_read_past(tmp_path: Path) -> None:
    items = [Schema([probe(1)]), History(1, 2, False), columns([(1, 1, 7, 1)]), Position(), Skipped(1, 2, 3)]
    record(tmp_path / "a", items)
    found, recording = read(tmp_path / "a")
    assert [type(item) for item in found] == [Schema, Batch]
    assert recording.warnings == []


def test_starts_and_explanations_come_back(tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    count = 700
    batch = columns([(1 + i, 1, 7, 1000 + i) for i in range(count)])
    ends = batch.time_unix_nanos
    late = dice.integers(-900, 40_000, count)
    starts = (ends.astype(np.int64) + 10**15 - batch.duration_nanos.astype(np.int64) - late).astype(np.uint64)
    explanation = Explanation(
        dice.integers(0, 32, count, np.uint32),
        {
            "on_cpu_nanos": dice.integers(0, 1 << 40, count, np.uint64),
            "top_syscall": dice.integers(0, 3, count, np.uint32),
        },
        ("futex", "Ż"),
    )
    for known in (starts, np.where(dice.random(count) < 0.5, starts, np.uint64(0)), starts[:0]):
        for explained in (explanation, None):
            sent = replace(
                batch,
                time_unix_nanos=ends + np.uint64(10**15),
                start_unix_nanos=known,
                explanation=explained,
            )
            path = tmp_path / f"{len(known)}-{known[:1].sum()}-{explained is None}-{known.sum()}"
            record(path, [Schema([probe(1)]), sent])
            items, _ = read(path)
            found = next(item for item in items if isinstance(item, Batch)).columns
            assert found.start_unix_nanos.tolist() == known.tolist()
            assert found.time_unix_nanos.tolist() == sent.time_unix_nanos.tolist()
            if explained is None:
                assert found.explanation is None
            else:
                assert found.explanation is not None
                assert found.explanation.known.tolist() == explanation.known.tolist()
                assert found.explanation.names == explanation.names
                assert {name: each.tolist() for name, each in found.explanation.columns.items()} == {
                    name: each.tolist() for name, each in explanation.columns.items()
                }


def test_numbers_need_few_bytes(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    events = zip(
        np.cumsum(dice.exponential(1000, 100_000)).astype(int).tolist(),
        [1] * 100_000,
        dice.choice((7, 8, 9), 100_000).tolist(),
        dice.exponential(700, 100_000).astype(int).tolist(),
        strict=True,
    )
    batch = columns(list(events), dice.integers(0, 100_000, 100_000).tolist())
    recorder = record(tmp_path / "a", [Schema([probe(1, 2, value("id", 5))]), batch])
    assert recorder.bytes / recorder.events < 8


def test_a_recording_that_is_cut_off_anywhere_is_read_up_to_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_EVENTS", 50)
    whole = numbered(tmp_path / "whole", 300, 50).read_bytes()
    every = list(range(300))
    cut, counts = tmp_path / "cut", set()
    for size in range(len(HEAD), len(whole), 3):
        cut.write_bytes(whole[:size])
        items, recording = read(cut)
        found = seqs(items)
        assert found == every[: len(found)]
        (warning,) = recording.warnings
        assert "ends in the middle of a frame" in warning or "has no end" in warning
        counts.add(len(found))
    assert counts >= set(range(0, 300, 50))
    for size in range(len(HEAD)):
        cut.write_bytes(whole[:size])
        with pytest.raises(JcollectError, match="is not a recording of jcollect record"):
            read(cut)


def test_a_damaged_frame_ends_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MOST_EVENTS", 50)
    whole = bytearray(numbered(tmp_path / "whole", 300, 50).read_bytes())
    dice = random.Random(1)
    damaged = tmp_path / "damaged"
    seen = 0
    for _ in range(300):
        content = bytearray(whole)
        content[dice.randrange(len(HEAD), len(whole))] ^= 1 << dice.randrange(8)
        damaged.write_bytes(content)
        items, recording = read(damaged)
        found = seqs(items)
        assert found == list(range(len(found)))
        assert recording.warnings
        seen += "is damaged: the frame at byte" in recording.warnings[0]
    assert seen > 200


def frame(frame_type: int, payload: bytes, flags: int = 0) -> bytes:
    head = struct.pack("<IBBH", len(payload), frame_type, flags, 0)
    return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


def test_a_bomb_is_not_decompressed(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(MOST_CONTENT_BYTES + 1))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for payload in (bomb, unsized, b"no zstd", bomb[:20]):
        path = tmp_path / "bomb"
        path.write_bytes(HEAD + frame(FrameType.EVENTS, payload, 1))
        items, recording = read(path)
        assert items == []
        assert "it cannot be decompressed" in recording.warnings[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_frames_that_no_recorder_writes_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    schema = collector_pb2.SubscribeResponse(schema=collector_pb2.Schema(probes=[probe(1, 2, value("a", 9))]))
    described = frame(FrameType.MESSAGE, schema.SerializeToString())
    high = collector_pb2.SubscribeResponse(schema=collector_pb2.Schema(probes=[probe(1 << 30)]))
    wide = collector_pb2.SubscribeResponse(
        schema=collector_pb2.Schema(probes=[probe(1, 2, *[value(f"v{i}", 5) for i in range(65)])])
    )
    for content, problem in (
        (frame(FrameType.MESSAGE, high.SerializeToString()), "a probe with the ID 1,073,741,824"),
        (frame(FrameType.MESSAGE, wide.SerializeToString()), "a probe has 65 values"),
        (frame(FrameType.MESSAGE, b"\xff"), "a message cannot be decoded"),
        (frame(FrameType.STATUS, b"\xff"), "a message is malformed"),
        (frame(FrameType.EVENTS, struct.pack("<III", 1 << 29, 0, 0)), "a batch has 536,870,912 events"),
        (frame(FrameType.EVENTS, struct.pack("<III", 1, 0, 0)), "a batch ends too early"),
        (described + frame(FrameType.EVENTS, event(1, 1, [])), "more or fewer values"),
        (described + frame(FrameType.EVENTS, event(2, 1, [])), "a probe that was not described"),
        (
            described + frame(FrameType.EVENTS, event(1, 1, [1 << 32 | 9])),
            "more or less text than its strings",
        ),
        (frame(FrameType.MESSAGE, encode(columns([]))), "a batch is in a message"),
    ):
        path.write_bytes(HEAD + content)
        with pytest.raises(JcollectError, match=problem):
            read(path)


def event(probe_id: int, count: int, values: list[int]) -> bytes:
    """Returns the content of a frame of equal events without text."""
    parts = [struct.pack("<III", count, len(values), 0)]
    parts += [struct.pack("<BBQQ", 0, 0, number, number) for number in (0, 0, probe_id, 0, 0, 0, *values)]
    return b"".join(parts)


def error_of(path: Path) -> str:
    """Returns why a file cannot be read; empty if it can."""
    try:
        read(path)
    except JcollectError as error:
        return error.message
    return ""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=120), st.booleans()), max_size=6))
def test_any_frames_are_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[int, bytes, bool]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    schema = collector_pb2.SubscribeResponse(
        schema=collector_pb2.Schema(probes=[probe(0), probe(1, 2, value("a", 9))])
    )
    content = [frame(FrameType.MESSAGE, schema.SerializeToString())]
    for frame_type, payload, begins_well in frames:
        begin = struct.pack("<III", 1, 0, 0) if begins_well else b""
        content.append(frame(frame_type, begin + payload))
    path.write_bytes(HEAD + b"".join(content))
    assert str(path) in (error_of(path) or str(path))


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=8), st.data())
def test_an_event_frame_with_any_bytes_is_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise"
    schema = collector_pb2.SubscribeResponse(schema=collector_pb2.Schema(probes=[probe(1, 2, value("a", 9))]))
    content = bytearray(event(1, 3, [0]))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + len(noise)] = noise
    path.write_bytes(
        HEAD + frame(FrameType.MESSAGE, schema.SerializeToString()) + frame(FrameType.EVENTS, bytes(content))
    )
    assert "no jcollect has written it" in (error_of(path) or "no jcollect has written it")


def test_each_file_of_a_rotation_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MOST_EVENTS", 100)
    path = tmp_path / "trace.jprec"
    dice = np.random.default_rng(1)
    batches = [
        columns([(i, 1, 7, 1)] * 100, dice.integers(0, 1 << 63, 100).tolist(), first=100 * i)
        for i in range(60)
    ]
    items = [Schema([probe(1, 2, value("id", 5))]), Throttling([1], [], 1), *batches]
    recorder = record(path, items, Rotation(size=10_000, keep=3), status=lambda: status_of(1))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert recorder.files > 4
    assert files[-1] == Path(part_path(str(path), recorder.files - 1))
    assert files[-1].name == f"trace.{recorder.files - 1:06d}.jprec"
    next_seq = seqs(read(files[0])[0])[0]
    for file in files:
        found, recording = read(file)
        assert isinstance(found[0], Schema)
        assert found[1] == Throttling([1], [], 0)
        assert recording.warnings == []
        assert recording.facts.status is not None
        assert recording.facts.header.begin.seq == next_seq
        own = seqs(found)
        assert own == list(range(next_seq, next_seq + len(own)))
        next_seq += len(own)
        assert recording.facts.end is not None
        assert recording.facts.end.events == len(own)
    assert next_seq == 6000
    assert seqs(read(*files)[0]) == list(range(6000 - sum(len(seqs(read(file)[0])) for file in files), 6000))


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("mine")
    with pytest.raises(JcollectError, match="it exists; give another path, or --force"):
        Recorder(str(path), "test")
    with pytest.raises(JcollectError, match="it is not a recording"):
        Recorder(str(path), "test", replaces=True)
    assert path.read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for replaces in (False, True):
        with pytest.raises(JcollectError, match=r"it exists|symbolic links"):
            Recorder(str(link), "test", replaces=replaces)
    assert not (tmp_path / "elsewhere").exists()
    numbered(tmp_path / "old", 5)
    record(tmp_path / "old", [Schema([probe(1)])], replaces=True)
    assert seqs(read(tmp_path / "old")[0]) == []


def test_pieces_have_all_events_and_fit_a_message() -> None:
    batches = Batches(5)
    shapes = recorder_module.Shapes()
    shapes.add(batches.probes)
    part = batches.columns(2000)
    batch = shapes.batch(part, shapes.value_counts(part.probe))
    found = list(pieces(batch, 10_000_000))
    assert len(found) > 5
    for name in NAMES:
        joined = np.concatenate([getattr(piece.columns, name) for piece in found])
        assert np.array_equal(joined, getattr(part, name))
    assert b"".join(piece.columns.text for piece in found) == part.text
    for piece in found:
        times = piece.columns.time_unix_nanos
        assert int(times[-1]) - int(times[0]) <= 10_000_000
    large = columns([(i, 0, 1, 1) for i in range(60_000)])
    shapes.add([probe(0)])
    sizes = [
        int(each.sizes.sum()) for each in pieces(shapes.batch(large, shapes.value_counts(large.probe)), None)
    ]
    assert max(sizes) <= MOST_BYTES
    assert len(sizes) == 3


def test_a_frame_of_a_later_version_is_skipped(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 10)
    content = path.read_bytes()
    path.write_bytes(content + FrameEncoder().encode(FrameType.END, b"") + frame(99, b"later"))
    items, recording = read(path)
    assert seqs(items) == list(range(10))
    assert recording.warnings == []
    path.write_bytes(HEAD[:8] + struct.pack("<II", 2, 0) + content[len(HEAD) :])
    with pytest.raises(
        JcollectError, match="it has version 2 of the format, and this jcollect reads version 1"
    ):
        read(path)

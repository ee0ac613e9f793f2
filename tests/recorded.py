"""Recordings for tests: made by the real recorder, from items of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jcollect.hub.items import Events, Item, Schema
from jcollect.recordings.reader import RecordedItem, Recording
from jcollect.recordings.recorder import Recorder, Rotation
from jcollect.sources.columns import Batch, Columns
from jprobe.v1 import collector_pb2, probe_pb2

BEGIN = 1_795_341_600_000_000_000
NAMES = ("seq", "time_unix_nanos", "probe", "tid", "thread", "duration_nanos", "values")


def probe(
    number: int, kind: int = probe_pb2.PROBE_KIND_RETURN, *values: probe_pb2.Value, **fields: object
) -> collector_pb2.Probe:
    """Returns a probe of its own method."""
    names = {1: "entry", 2: "return", 3: "throw", 4: "mark"}
    given: dict[str, object] = {
        "id": number,
        "pid": 4711,
        "provider": "com_acme_Orders",
        "name": f"place{number}__{names[kind]}",
        "class_name": "com.acme.Orders",
        "method": f"place{number}",
        "method_descriptor": "(J)J",
        **fields,
    }
    return collector_pb2.Probe(kind=kind, values=values, **given)  # type: ignore[arg-type]


def value(name: str, of_type: int, **fields: object) -> probe_pb2.Value:
    return probe_pb2.Value(name=name, type=of_type, **fields)  # type: ignore[arg-type]


def columns(
    events: Iterable[tuple[int, int, int, int]], values: Sequence[int] = (), text: bytes = b"", first: int = 0
) -> Columns:
    """Returns events, each given by its time after BEGIN, probe ID, thread and duration."""
    time, ids, thread, duration = np.array(list(events), np.uint64).reshape(-1, 4).T
    return Columns(
        np.arange(first, first + len(ids), dtype=np.uint64),
        time + np.uint64(BEGIN),
        ids.astype(np.uint32),
        thread.astype(np.uint32),
        thread,
        duration,
        np.array(values, np.uint64),
        text,
    )


def status_of(*hits: int) -> collector_pb2.GetStatusResponse:
    """Returns hit counts of that many probes."""
    status = collector_pb2.GetStatusResponse(version="0.1.0", pid=99, link="uprobe-multi")
    status.counts.hits = sum(hits)
    for number, each in enumerate(hits):
        status.probes.add(probe=probe(number)).counts.hits = each
    return status


def record(
    path: Path, items: Iterable[Item | Columns], rotation: Rotation | None = None, **options: object
) -> Recorder:
    """Records items; columns as a hub passes them on."""
    recorder = Recorder(str(path), "test", rotation, **options)  # type: ignore[arg-type]
    for item in items:
        recorder.take(Events(item) if isinstance(item, Columns) else item)
    recorder.complete()
    return recorder


def numbered(path: Path, count: int, size: int = 1000) -> Path:
    """Records events of one probe with one number, and returns the path."""
    batches = [
        columns(
            [(1000 * i, 1, 7, 100 + i % 50) for i in range(first, min(first + size, count))],
            range(first, min(first + size, count)),
            first=first,
        )
        for first in range(0, count, size)
    ]
    record(path, [Schema([probe(1, 2, value("id", probe_pb2.VALUE_TYPE_LONG))]), *batches])
    return path


def read(*paths: Path) -> tuple[list[RecordedItem], Recording]:
    recording = Recording([str(path) for path in paths])
    return list(recording.items()), recording


def seqs(items: Iterable[RecordedItem]) -> list[int]:
    """Returns the numbers of all events."""
    return [seq for item in items if isinstance(item, Batch) for seq in item.columns.seq.tolist()]

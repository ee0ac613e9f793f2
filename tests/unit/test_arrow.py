"""Compares Arrow record batches with rows that a simple implementation decodes."""

from __future__ import annotations

import io
import math
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from test_lines import Batches

from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.probes.probe import KIND_NAMES
from jcollect.probes.rendered import Rendered
from jcollect.sources.columns import Columns
from jcollect.sources.explanation import Explanation
from jcollect.view.arrow import EVENT_FIELDS, MOST_VALUE_FIELDS, EventTable
from jprobe.v1 import collector_pb2, probe_pb2
from rows import Absent, Decoded, RowDecoder, Truncated, Unknown, Unreadable


def probe(number: int, *values: probe_pb2.Value, **fields: Any) -> collector_pb2.Probe:
    return collector_pb2.Probe(id=number, pid=7, kind=probe_pb2.PROBE_KIND_RETURN, values=values, **fields)


def value(name: str, of_type: int, **fields: Any) -> probe_pb2.Value:
    return probe_pb2.Value(name=name, type=of_type, **fields)  # type: ignore[arg-type]


def columns(probes: list[int], words: list[int], text: bytes = b"") -> Columns:
    count = len(probes)
    ids = np.array(probes, np.uint32)
    numbers = np.arange(count, dtype=np.uint64)
    return Columns(
        numbers,
        numbers + np.uint64(10**18),
        ids,
        ids,
        numbers,
        numbers,
        np.array(words, np.uint64),
        text,
        numbers + np.uint64(10**18),
    )


def plain(decoded: Decoded, of_type: pa.DataType) -> object:
    """Returns what a cell has for a decoded value."""
    if decoded is None or isinstance(decoded, Absent | Unknown | Unreadable):
        return None
    if isinstance(decoded, Truncated):
        return decoded.text
    if of_type == pa.string():
        if isinstance(decoded, bool):
            return str(decoded).lower()
        text = getattr(decoded, "text", None) if not isinstance(decoded, Rendered) else decoded.text
        return str(decoded if text is None else text).encode("utf-8", "replace").decode()
    return decoded


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_record_batch_has_the_values_of_its_rows() -> None:
    seen = set()
    for seed in range(7):
        batches = Batches(seed)
        for each in batches.probes:
            # Values of one name have several types, in different probes.
            for index, of_value in enumerate(each.values):
                of_value.name = f"{of_value.name[0]}{index}"
        batch = batches.columns(331)
        table = EventTable(batches.probes)
        found = table.record_batch(batch, is_complete=True)
        assert found.schema == table.schema
        found.validate(full=True)
        cells = found.drop_columns(["time", "start"]).to_pydict()
        starts = found.column("start").cast(pa.int64()).to_pylist()
        nanos = found.column("time").cast(pa.int64()).to_pylist()
        types = {field.name: field.type for field in found.schema}
        for i, row in enumerate(RowDecoder(batches.probes).rows(batch)):
            assert cells["seq"][i] == row.seq
            assert nanos[i] == row.time_unix_nanos
            assert (starts[i] or 0) == row.start_unix_nanos
            assert (cells["pid"][i], cells["probe"][i]) == (row.probe.pid, row.probe.id)
            assert (cells["tid"][i], cells["thread"][i]) == (row.tid, row.thread)
            assert cells["duration_nanos"][i] == row.duration_nanos
            assert cells["provider"][i] == row.probe.provider
            assert cells["name"][i] == row.probe.name
            assert cells["class"][i] == row.probe.class_name
            assert cells["method"][i] == row.probe.method
            assert cells["kind"][i] == KIND_NAMES[row.probe.kind]
            own = [each.name for each in row.probe.values if not each.path and each.name[0] != "a"]
            values = dict(row.captures) | dict(zip(own, row.values, strict=False))
            for name in types.keys() - set(EVENT_FIELDS):
                if name not in values:
                    assert name[0] == "a" or cells[name][i] is None, name
                    continue
                expected, cell = plain(values[name], types[name]), cells[name][i]
                seen.add((types[name], type(values[name])))
                assert _is_same(cell, expected, values[name]), (name, cell, values[name])
    assert len(seen) > 12


def _is_same(cell: object, expected: object, decoded: Decoded) -> bool:
    if isinstance(decoded, float) and isinstance(cell, float | str):
        if math.isnan(decoded):
            return math.isnan(float(cell))
        # A float has 32 bits, and jcollect prints its shortest decimal.
        return math.isclose(float(cell), decoded, rel_tol=1e-6, abs_tol=1e-38)
    if isinstance(cell, str) and isinstance(expected, str):
        # The text of an object keeps its quotes if the simple implementation does not recognize it.
        return cell.strip("'\"") == expected.strip("'\"")
    return cell == expected


def test_types_follow_the_values_and_disagreement_makes_text() -> None:
    table = EventTable([
        probe(0, value("amount", 5), value("ratio", 7), value("paid", 1),
              value("size", 12, java_type="uint64")),
        probe(1, value("amount", 9)),
    ])  # fmt: skip
    types = {field.name: field.type for field in table.schema}
    assert types["amount"] == pa.string()
    assert (types["ratio"], types["paid"], types["size"]) == (pa.float64(), pa.bool_(), pa.uint64())
    half = int(np.float32(0.5).view(np.uint32))
    present = 1 << 32 | 3
    found = table.record_batch(
        columns([0, 1, 0], [2**64 - 5, half, 1, 2**64 - 1, present, 7, half, 0, 8], b"abc")
    )
    assert found.column("amount").to_pylist() == ["-5", "abc", "7"]
    assert found.column("ratio").to_pylist() == [0.5, None, 0.5]
    assert found.column("paid").to_pylist() == [True, None, False]
    assert found.column("size").to_pylist() == [2**64 - 1, None, 8]


def test_a_later_schema_adds_columns_and_reassigns_ids() -> None:
    table = EventTable([probe(0, value("a", 4), method="first")])
    assert not table.describe([probe(1, value("a", 4))])
    assert table.describe([probe(0, value("b", 9), method="second")])
    found = table.record_batch(columns([0, 1], [1 << 32 | 1, 5], b"x"))
    assert found.column("b").to_pylist() == ["x", None]
    assert found.column("a").to_pylist() == [None, 5]
    assert found.column("method").to_pylist() == ["second", None]


def test_a_value_with_the_name_of_an_event_column_has_another() -> None:
    table = EventTable([probe(0, value("time", 4), value("Seq", 4), value("time", 9, path="arg0.time"))])
    assert table.schema.names[len(EVENT_FIELDS) :] == ["time_", "Seq_", "time__"]
    found = table.record_batch(columns([0], [1, 2, 1 << 32 | 1], b"t"))
    assert [found.column(name).to_pylist() for name in ("time_", "Seq_", "time__")] == [[1], [2], ["t"]]


def test_an_explanation_is_null_where_a_part_is_not_known() -> None:
    explanation = Explanation(
        np.array([1, 0, 9], np.uint32),
        {
            "on_cpu_nanos": np.array([5, 6, 7], np.uint64),
            "syscalls": np.array([1, 2, 3], np.uint32),
            "top_syscall": np.array([1, 1, 2], np.uint32),
        },
        ("futex", "read"),
    )
    batch = replace(columns([0, 0, 0], [1, 2, 3]), explanation=explanation)
    table = EventTable([probe(0, value("a", 4))])
    found = table.record_batch(batch)
    assert found.schema == table.schema
    found.validate(full=True)
    rows = [
        row and {key: cell for key, cell in row.items() if cell is not None}
        for row in found.column("explanation").to_pylist()
    ]
    assert rows == [{"on_cpu_nanos": 5}, None, {"on_cpu_nanos": 7, "syscalls": 3, "top_syscall": "read"}]
    assert "explanation" not in table.record_batch(columns([0], [1])).schema.names


def test_columns_that_were_not_asked_for_are_left_out() -> None:
    none32, none64 = np.zeros(0, np.uint32), np.zeros(0, np.uint64)
    numbers = np.arange(3, dtype=np.uint64)
    masked = Columns(numbers, none64, np.zeros(3, np.uint32), none32, none64, numbers, none64, b"")
    found = EventTable([probe(0, value("a", 4))]).record_batch(masked)
    assert found.schema.names == [
        "seq", "pid", "probe", "provider", "name", "kind", "class", "method", "duration_nanos",
    ]  # fmt: skip
    assert EventTable([probe(0, value("a", 4))], ("time", "values")).schema.names == [
        name for name in EVENT_FIELDS if name != "time"
    ]


def test_batches_of_one_schema_make_one_ipc_stream() -> None:
    table = EventTable([probe(0, value("a", 4))])
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        for _ in range(2):
            writer.write_batch(table.record_batch(columns([0, 0], [1, 2]), is_complete=True))
        writer.write_batch(table.record_batch(columns([], []), is_complete=True))
    assert pa.ipc.open_stream(out.getvalue()).read_all().column("a").to_pylist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("batch", "problem"),
    [
        (columns([1], [1]), "not described"),
        (columns([0], [1, 2]), "more or fewer values"),
        (columns([0], [1 << 32 | 9], b"short"), "shorter than its strings"),
        (columns([0], [1 << 32 | 0xFFFFFF], b""), "bytes"),
    ],
)
def test_a_malformed_batch_is_rejected(batch: Columns, problem: str) -> None:
    with pytest.raises(MalformedStreamError, match=problem):
        EventTable([probe(0, value("a", 9))]).record_batch(batch)


def test_the_number_of_columns_is_bounded() -> None:
    many = [probe(i, value(f"v{i}", 4)) for i in range(MOST_VALUE_FIELDS + 1)]
    with pytest.raises(JcollectError, match="more than 1,000 captured values; choose fewer probes"):
        EventTable(many)


def test_a_missing_pyarrow_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(JcollectError, match=r"pip install 'jprobe\[arrow\]'"):
        EventTable()


def test_a_million_numeric_events_take_less_than_a_second() -> None:
    table = EventTable([probe(0, value("a", 4), value("b", 8)), probe(1, value("a", 4))])
    ids = [0, 1] * 10_000
    batch = columns(ids, [3] * 30_000)
    table.record_batch(batch)
    begun = time.process_time()
    for _ in range(10):
        table.record_batch(batch)
    # One core needs about 20 ms for these 200,000 events; others may use it too.
    assert time.process_time() - begun < 0.2

"""Recordings as tables: Parquet, and Arrow IPC files. docs/recordings.md lists the columns."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from jcollect.convert.source import Source
from jcollect.hub.items import Schema, Stacks
from jcollect.sources.columns import Batch
from jcollect.sources.loss_stage import LossStage
from jcollect.view.arrow import EventTable, import_pyarrow

# Rows of a row group of Parquet: what DuckDB reads with one thread.
_GROUP_ROWS = 1 << 17


class _Tables:
    """Makes record batches that have all columns of the whole recording."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._table = EventTable()
        for schema in source.schemas():
            self._table.describe(schema.probes)
        names = {int(stage): stage.name.lower() for stage in LossStage}
        lost = {names.get(stage, f"stage {stage}"): events for stage, events in source.lost.items()}
        self.schema = self._table.schema.with_metadata({"jprobe.lost": json.dumps(lost)})
        self.rows = 0

    def batches(self) -> Any:
        for item in self._source.items():
            if isinstance(item, Schema):
                self._table.describe(item.probes)
            elif isinstance(item, Stacks):
                self._table.add_stacks(item.stacks)
            elif isinstance(item, Batch):
                batch = self._table.record_batch(item.columns, is_complete=True)
                self.rows += len(item)
                yield batch.replace_schema_metadata(self.schema.metadata)


def write_arrow(source: Source, out: BinaryIO) -> int:
    """Writes an Arrow IPC file, compressed with zstd, and returns the number of events."""
    pa = import_pyarrow("write Arrow files")
    tables = _Tables(source)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(out, tables.schema, options=options) as writer:
        for batch in tables.batches():
            writer.write_batch(batch)
    return tables.rows


def write_parquet(source: Source, out: BinaryIO) -> int:
    """Writes a Parquet file, compressed with zstd, and returns the number of events."""
    pa = import_pyarrow("write Parquet")
    import pyarrow.parquet as parquet

    tables = _Tables(source)
    group: list[Any] = []
    rows = 0
    with parquet.ParquetWriter(out, tables.schema, compression="zstd") as writer:
        for batch in tables.batches():
            group.append(batch)
            rows += len(batch)
            if rows >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(group, tables.schema))
                group, rows = [], 0
        if group:
            writer.write_table(pa.Table.from_batches(group, tables.schema))
    return tables.rows

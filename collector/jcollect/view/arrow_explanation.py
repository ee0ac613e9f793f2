"""Explanations as one column of Arrow: a struct, whose fields are null where a part is not known."""

from __future__ import annotations

from typing import Any

import numpy as np

from jcollect.sources.explanation import COLUMNS, CPU, FAULTS, NAMED, PAUSES, SYSCALLS, UNMOUNTED, Explanation
from jprobe.v1 import collector_pb2

EXPLANATION = "explanation"
# Names of fields that differ from those of the columns: they have texts.
_RENAMED = {"top_pause": "pause"}
_PARTS = {
    name: int(part)
    for part, columns in (
        (collector_pb2.EXPLANATION_PART_CPU, CPU),
        (collector_pb2.EXPLANATION_PART_UNMOUNTED, UNMOUNTED),
        (collector_pb2.EXPLANATION_PART_FAULTS, FAULTS),
        (collector_pb2.EXPLANATION_PART_SYSCALLS, SYSCALLS),
        (collector_pb2.EXPLANATION_PART_PAUSES, PAUSES),
    )
    for name in columns
}


def explanation_type(pa: Any) -> Any:
    """Returns the pyarrow.DataType of the column."""
    types = {np.uint64: pa.uint64(), np.uint32: pa.uint32()}
    return pa.struct(
        [
            (_RENAMED.get(name, name), pa.string() if name in NAMED else types[of])
            for name, of in COLUMNS.items()
        ]
    )


def explanation_array(pa: Any, explanation: Explanation | None, count: int) -> Any:
    """Returns the column for a checked batch of `count` events: null for events of which nothing is known."""
    of_type = explanation_type(pa)
    if explanation is None:
        return pa.nulls(count, of_type)
    names = pa.array(list(explanation.names), pa.string())
    arrays = []
    for field, (name, part) in zip(of_type, _PARTS.items(), strict=True):
        column = explanation.columns.get(name)
        if column is None:
            arrays.append(pa.nulls(count, field.type))
            continue
        is_unknown = explanation.known & np.uint32(part) == 0
        if name in NAMED:
            indices = pa.array(column.astype(np.int64) - 1, mask=is_unknown | (column == 0))
            arrays.append(pa.DictionaryArray.from_arrays(indices, names).cast(pa.string()))
        else:
            arrays.append(pa.array(column, mask=is_unknown))
    return pa.StructArray.from_arrays(arrays, fields=list(of_type), mask=pa.array(explanation.known == 0))

"""Events as Arrow record batches: one row per event, one column per captured value's name.

For Parquet and IPC files, for the wire and for clients. pyarrow is an extra (`jprobe[arrow]`), and is
imported when the first table is made. How the words of values become columns is in view/arrow_values.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError, MalformedStreamError
from jcollect.probes.description import Described
from jcollect.probes.probe import KIND_NAMES
from jcollect.sources.columns import U64, Columns
from jcollect.sources.stacks import StackTable, StackTrace
from jcollect.view.arrow_explanation import EXPLANATION, explanation_array, explanation_type
from jcollect.view.arrow_values import Layout, Piece, ValueType, layout_of, value_array
from jcollect.view.texts import Positions

# Columns of every event, in order. Those of values follow.
TIME, TID, THREAD, DURATION, START = "time", "tid", "thread", "duration_nanos", "start"
_TEXTS = ("provider", "name", "kind", "class", "method")
EVENT_FIELDS = ("seq", TIME, "pid", "probe", *_TEXTS, TID, THREAD, DURATION, START, EXPLANATION)
# A batch has all of them, and readers open a file with all of them.
MOST_VALUE_FIELDS = 1000


def import_pyarrow(what: str) -> Any:
    """Returns the module. Raises JcollectError if it is not installed; `what` needs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise JcollectError(
            f"cannot {what}: it needs pyarrow, which cannot be imported ({error}); "
            "run pip install 'jprobe[arrow]'"
        ) from None
    return pyarrow


class EventTable:
    """Makes record batches of the events of described probes.

    `schema` is that of all batches, until `describe` adds a value's name or changes its type. Columns that a
    client has not asked for, of length 0 in a batch, are left out of its record batch.
    """

    def __init__(self, probes: Iterable[Described] = (), left_out: Collection[str] = ()) -> None:
        """`left_out` are EVENT_FIELDS that the schema does not have; "values" stands for all values. Raises
        JcollectError without pyarrow."""
        self._pa = import_pyarrow("make a table of events")
        self._left_out = frozenset(left_out)
        self._types: dict[str, ValueType] = {}
        self._names: dict[str, str] = {}
        self._layouts: list[Layout] = []
        self._numbers: dict[Layout, int] = {}
        # Distinct texts of each column, which only grow: an index keeps its meaning.
        self._stacks = StackTable()
        self._texts: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}
        # Arrays by probe ID. Indices of texts; -1 for none. Layout -1: not described.
        self._codes = {name: np.zeros(0, np.int32) for name in _TEXTS}
        self._layout = np.zeros(0, np.int64)
        self._value_counts = np.zeros(0, np.int64)
        self._pid = np.zeros(0, np.uint32)
        self.describe(probes)

    def use_stacks(self, stacks: StackTable) -> None:
        """Looks up stacks in another table from now on."""
        self._stacks = stacks

    def add_stacks(self, stacks: Iterable[StackTrace]) -> None:
        """Adds stacks that later events refer to."""
        self._stacks.add(stacks)

    def describe(self, probes: Iterable[Described]) -> bool:
        """Adds probes; an ID that is described again is reassigned. Returns true if the schema has changed.
        Raises JcollectError for too many columns."""
        new = list(probes)
        before = dict(self._types)
        self._grow(max((probe.id + 1 for probe in new), default=0))
        for probe in new:
            layout = layout_of(probe, self._column_of)
            for piece in layout.pieces:
                known = self._types.get(piece.column)
                self._types[piece.column] = (
                    piece.value_type if known in (None, piece.value_type) else ValueType.TEXT
                )
            if layout not in self._numbers:
                self._numbers[layout] = len(self._layouts)
                self._layouts.append(layout)
            self._layout[probe.id] = self._numbers[layout]
            self._value_counts[probe.id] = layout.values
            self._pid[probe.id] = probe.pid
            kind = KIND_NAMES.get(probe.kind, "")
            of_probe = (probe.provider, probe.name, kind, probe.class_name, probe.method)
            for name, text in zip(_TEXTS, of_probe, strict=True):
                known_texts = self._texts[name]
                self._codes[name][probe.id] = known_texts.setdefault(text, len(known_texts)) if text else -1
        if len(self._types) > MOST_VALUE_FIELDS:
            raise JcollectError(
                f"cannot make a table with columns for more than {MOST_VALUE_FIELDS:,} captured values; "
                "choose fewer probes with --probe"
            )
        return before != self._types

    @property
    def schema(self) -> Any:
        """The pyarrow.Schema of batches that have all columns."""
        pa = self._pa
        text = pa.dictionary(pa.int32(), pa.string())
        types = {
            "seq": pa.uint64(), TIME: pa.timestamp("ns", "UTC"), "pid": pa.uint32(), "probe": pa.uint32(),
            **dict.fromkeys(_TEXTS, text),
            TID: pa.uint32(), THREAD: pa.uint64(), DURATION: pa.int64(),
            START: pa.timestamp("ns", "UTC"), EXPLANATION: explanation_type(pa),
        }  # fmt: skip
        fields = [(name, of_type) for name, of_type in types.items() if name not in self._left_out]
        if "values" not in self._left_out:
            fields += [(name, of_type.arrow(pa)) for name, of_type in self._types.items()]
        return pa.schema(fields)

    def record_batch(self, columns: Columns, is_alone: bool = False, is_complete: bool = False) -> Any:
        """Returns the events as a pyarrow.RecordBatch, in their order. With `is_alone` its dictionaries have
        only the texts of these events; otherwise an index means the same in all batches. With `is_complete`
        it has starts and explanations even if no event has them. Raises MalformedStreamError."""
        pa = self._pa
        count, probes = len(columns), columns.probe
        self._check(columns)
        # Java's clock starts in 1970: times and durations have 63 bits.
        arrays: dict[str, Any] = {"seq": pa.array(columns.seq)}
        if count == len(columns.time_unix_nanos):
            times = pa.array(columns.time_unix_nanos.view(np.int64))
            arrays[TIME] = times.cast(pa.timestamp("ns", "UTC"))
        arrays["pid"] = pa.array(self._pid[probes])
        arrays["probe"] = pa.array(probes)
        for name in _TEXTS:
            codes, texts = self._codes[name][probes], list(self._texts[name])
            if is_alone:
                used, places = np.unique(codes, return_inverse=True)
                texts = [texts[code] for code in used.tolist() if code >= 0]
                # The code for none is the smallest one.
                codes = (places - (len(used) - len(texts))).astype(np.int32)
            indices = pa.array(codes, mask=codes < 0)
            arrays[name] = pa.DictionaryArray.from_arrays(
                indices, pa.array([_encodable(text) for text in texts], pa.string())
            )
        if count == len(columns.tid):
            arrays[TID] = pa.array(columns.tid)
        if count == len(columns.thread):
            arrays[THREAD] = pa.array(columns.thread)
        if count == len(columns.duration_nanos):
            arrays[DURATION] = pa.array(columns.duration_nanos.view(np.int64))
        starts = columns.start_unix_nanos
        if is_complete:
            starts = columns.with_starts().start_unix_nanos
        if count == len(starts):
            arrays[START] = pa.array(starts.view(np.int64), mask=starts == 0).cast(pa.timestamp("ns", "UTC"))
        if is_complete or columns.explanation is not None:
            arrays[EXPLANATION] = explanation_array(pa, columns.explanation, count)
        if len(columns.values) or not int(self._value_counts[probes].sum()):
            arrays |= self._values(columns)
        schema = self.schema
        kept = [field for field in schema if field.name in arrays]
        return pa.RecordBatch.from_arrays([arrays[field.name] for field in kept], schema=pa.schema(kept))

    def _values(self, columns: Columns) -> dict[str, Any]:
        """Returns the columns of values."""
        counts = self._value_counts[columns.probe]
        starts = np.cumsum(counts) - counts
        groups = [(self._layouts[number], events) for number, events in _groups(self._layout[columns.probe])]
        is_string = np.zeros(len(columns.values), np.bool_)
        for layout, events in groups:
            for index in layout.strings:
                is_string[starts[events] + index] = True
        pieces: dict[str, list[tuple[Piece, Positions, Positions, Layout]]] = {}
        for layout, events in groups:
            for piece in layout.pieces:
                pieces.setdefault(piece.column, []).append((piece, events, starts[events], layout))
        pids = self._pid[columns.probe]
        return {
            name: value_array(
                self._pa,
                of_type,
                columns,
                is_string,
                pieces.get(name, []),
                lambda *of: self._stack(pids, *of),
            )
            for name, of_type in self._types.items()
        }

    def _stack(self, pids: npt.NDArray[np.uint32], events: Positions, words: U64) -> list[str | None]:
        """Returns the stacks of events, a line for each frame; None for those that are not known."""
        found = [
            self._stacks.get(pid, word)
            for pid, word in zip(pids[events].tolist(), words.tolist(), strict=True)
        ]
        return [None if each is None else "\n".join(each.frames) for each in found]

    def _check(self, columns: Columns) -> None:
        probes = columns.probe
        if len(probes) != len(columns):
            raise MalformedStreamError("the columns of a batch have different lengths")
        if not len(probes):
            return
        if int(probes.max()) >= len(self._layout) or (self._layout[probes] < 0).any():
            raise MalformedStreamError("a batch has events of a probe that was not described")
        if len(columns.values) and int(self._value_counts[probes].sum()) != len(columns.values):
            raise MalformedStreamError("a batch has more or fewer values than its events")

    def _column_of(self, name: str) -> str:
        """Returns the name of the column for values of a name: another one if all events have that already.
        Names of columns do not differ in case alone: DuckDB does not distinguish them."""
        known = self._names.get(name)
        if known is None:
            known = _encodable(name)
            taken = {*EVENT_FIELDS, *(column.lower() for column in self._names.values())}
            while known.lower() in taken:
                known += "_"
            self._names[name] = known
        return known

    def _grow(self, size: int) -> None:
        if size > len(self._layout):
            more = max(size, 2 * len(self._layout)) - len(self._layout)
            self._layout = np.pad(self._layout, (0, more), constant_values=-1)
            self._value_counts = np.pad(self._value_counts, (0, more))
            self._pid = np.pad(self._pid, (0, more))
            self._codes = {
                name: np.pad(codes, (0, more), constant_values=-1) for name, codes in self._codes.items()
            }


def _encodable(text: str) -> str:
    """Returns a text without the halves of surrogate pairs that UTF-8 cannot express."""
    return text.encode("utf-8", "replace").decode()


def _groups(numbers: npt.NDArray[np.int64]) -> list[tuple[int, Positions]]:
    """Returns the indices of the events of each layout."""
    if not len(numbers):
        return []
    first = int(numbers[0])
    if (numbers == first).all():
        return [(first, np.arange(len(numbers)))]
    order = numbers.argsort(kind="stable")
    ordered = numbers[order]
    bounds = [0, *((ordered[1:] != ordered[:-1]).nonzero()[0] + 1).tolist(), len(numbers)]
    return [(int(ordered[begin]), order[begin:end]) for begin, end in pairwise(bounds)]

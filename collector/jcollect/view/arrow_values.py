"""Captured values as Arrow arrays: a column of 64-bit words becomes numbers or texts, in bulk.

Null stands for a probe without the value, for null, and for what is absent or could not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jcollect.errors import MalformedStreamError
from jcollect.layout.record import (
    STRING_WORD_CUT,
    STRING_WORD_LENGTH_MASK,
    STRING_WORD_LENGTH_SHIFT,
    STRING_WORD_PRESENT,
    STRING_WORD_UNREADABLE,
)
from jcollect.layout.stub_library import ABSENCE_NULL_SHIFT, ABSENCE_THREW_SHIFT
from jcollect.probes.description import Described
from jcollect.sources.columns import U64, Columns, Flags
from jcollect.view.texts import MOST_VALUE_BYTES, Positions
from jprobe.v1 import probe_pb2

_PRESENT, _UNREADABLE, _CUT = map(np.uint64, (STRING_WORD_PRESENT, STRING_WORD_UNREADABLE, STRING_WORD_CUT))
_HASH = 0xFFFFFFFF
_QUOTES = (ord('"'), ord("'"))


class ValueType(Enum):
    """The type of a column."""

    BOOLEAN = "bool_"
    SIGNED = "int64"
    UNSIGNED = "uint64"
    FLOAT = "float64"
    TEXT = "string"

    def arrow(self, pa: Any) -> Any:
        """Returns the pyarrow.DataType."""
        return getattr(pa, self.value)()


_TYPES: dict[int, ValueType] = {
    probe_pb2.VALUE_TYPE_BOOLEAN: ValueType.BOOLEAN,
    probe_pb2.VALUE_TYPE_BYTE: ValueType.SIGNED,
    probe_pb2.VALUE_TYPE_SHORT: ValueType.SIGNED,
    probe_pb2.VALUE_TYPE_INT: ValueType.SIGNED,
    probe_pb2.VALUE_TYPE_LONG: ValueType.SIGNED,
    probe_pb2.VALUE_TYPE_FLOAT: ValueType.FLOAT,
    probe_pb2.VALUE_TYPE_DOUBLE: ValueType.FLOAT,
    probe_pb2.VALUE_TYPE_UNSIGNED: ValueType.UNSIGNED,
}


class Piece(NamedTuple):
    """A value of some probes, and its column. `wire_type` is a probe_pb2.ValueType. `java_type` is empty
    unless the text of the value begins with it."""

    column: str
    position: int
    value_type: ValueType
    wire_type: int
    rendered: bool
    java_type: str


class Layout(NamedTuple):
    """Where the values of a probe are, which many probes have in common. `values` is their number."""

    values: int
    pieces: tuple[Piece, ...]
    strings: tuple[int, ...]
    absence: int | None


def layout_of(probe: Described, column_of: Callable[[str], str]) -> Layout:
    """Returns the layout of a probe's values. `column_of` returns the column for a value's name."""
    values = list(probe.values)
    absence = None
    if values and values[-1].type == probe_pb2.VALUE_TYPE_ABSENCE:
        absence = len(values) - 1
    pieces, taken = [], set()
    for index, value in enumerate(values):
        if index == absence:
            continue
        name = value.name or f"value{index}"
        while name in taken:  # A capture may have the name of an argument.
            name += "_"
        taken.add(name)
        is_reference = value.type == probe_pb2.VALUE_TYPE_REFERENCE
        pieces.append(
            Piece(
                column_of(name),
                index,
                _TYPES.get(value.type, ValueType.TEXT),
                value.type,
                value.rendered,
                value.java_type if is_reference else "",
            )
        )
    strings = tuple(i for i, value in enumerate(values) if value.type == probe_pb2.VALUE_TYPE_STRING)
    return Layout(len(values), tuple(pieces), strings, absence)


Run = tuple[Piece, Positions, Positions, Layout]


# Returns the texts of the stacks of events: indices and words.
StackTexts = Callable[[Positions, U64], list[str | None]]


def value_array(
    pa: Any,
    of_type: ValueType,
    columns: Columns,
    is_string: Flags,
    runs: Sequence[Run],
    stacks: StackTexts,
) -> Any:
    """Returns a column. Each run has a piece, the events that have it, where the values of each begin, and
    their layout. Raises MalformedStreamError."""
    count = len(columns)
    if not runs:
        return pa.nulls(count, of_type.arrow(pa))
    if of_type is ValueType.TEXT:
        return _text_array(pa, columns, is_string, runs, stacks)
    words = np.zeros(count, np.uint64)
    is_null = np.ones(count, np.bool_)
    for piece, events, starts, layout in runs:
        own = columns.values[starts + piece.position]
        if piece.wire_type == probe_pb2.VALUE_TYPE_FLOAT:
            own = own.astype(np.uint32).view(np.float32).astype(np.float64).view(np.uint64)
        words[events] = own
        is_null[events] = _absent(columns.values, piece, starts, layout)
    mask = is_null if is_null.any() else None
    if of_type is ValueType.BOOLEAN:
        return pa.array(words.astype(np.bool_), mask=mask)
    if of_type is ValueType.UNSIGNED:
        return pa.array(words, mask=mask)
    numbers = words.view(np.int64 if of_type is ValueType.SIGNED else np.float64)
    return pa.array(numbers, of_type.arrow(pa), mask=mask, from_pandas=False)


def _absent(values: U64, piece: Piece, starts: Positions, layout: Layout) -> Flags:
    """Returns for which events the value could not be evaluated."""
    if layout.absence is None:
        return np.zeros(len(starts), np.bool_)
    bits = 1 << (ABSENCE_NULL_SHIFT + piece.position) | 1 << (ABSENCE_THREW_SHIFT + piece.position)
    absent: Flags = (values[starts + layout.absence] & np.uint64(bits)) != 0
    return absent


def _text_array(pa: Any, columns: Columns, is_string: Flags, runs: Sequence[Run], stacks: StackTexts) -> Any:
    """Returns a column of texts, which the runs may have as other types."""
    spans: _Spans | None = None
    parts, orders = [], []
    for piece, events, starts, layout in runs:
        words = columns.values[starts + piece.position]
        is_null = _absent(columns.values, piece, starts, layout)
        if piece.wire_type == probe_pb2.VALUE_TYPE_STRING:
            if spans is None:
                spans = _Spans(columns, is_string)
            part = spans.array(pa, starts + piece.position, words, is_null, piece.rendered)
        else:
            part = _as_text(pa, piece, words, is_null, partial(stacks, events))
        parts.append(part)
        orders.append(events)
    if len(parts) == 1 and len(orders[0]) == len(columns):
        return parts[0]
    # Where each event's text is among the parts, one after the other; null for an event without one.
    places = np.full(len(columns), -1, np.int64)
    begin = 0
    for events in orders:
        places[events] = np.arange(begin, begin + len(events))
        begin += len(events)
    return pa.concat_arrays(parts).take(pa.array(places, mask=places < 0))


def _as_text(
    pa: Any, piece: Piece, words: U64, is_null: Flags, stacks: Callable[[U64], list[str | None]]
) -> Any:
    """Returns values that are no strings as texts."""
    mask = is_null if is_null.any() else None
    if piece.wire_type == probe_pb2.VALUE_TYPE_STACK:
        return pa.array(stacks(words), pa.string(), mask=mask)
    if piece.wire_type == probe_pb2.VALUE_TYPE_CHAR:
        # One UTF-16 code unit; UTF-8 cannot express half of a surrogate pair.
        codes, where = np.unique(words & np.uint64(0xFFFF), return_inverse=True)
        texts = pa.array([chr(code).encode("utf-8", "replace").decode() for code in codes.tolist()])
        return texts.take(pa.array(where, mask=mask))
    if piece.wire_type == probe_pb2.VALUE_TYPE_REFERENCE:
        texts = [f"{piece.java_type}@{word & _HASH:x}" if word else None for word in words.tolist()]
        return pa.array(texts, pa.string(), mask=mask)
    if piece.value_type is ValueType.TEXT:
        return pa.nulls(len(words), pa.string())  # Only a later version knows its type.
    if piece.value_type is ValueType.BOOLEAN:
        numbers: Any = words.astype(np.bool_)
    elif piece.wire_type == probe_pb2.VALUE_TYPE_FLOAT:
        numbers = words.astype(np.uint32).view(np.float32)
    elif piece.value_type is ValueType.FLOAT:
        numbers = words.view(np.float64)
    else:
        numbers = words if piece.value_type is ValueType.UNSIGNED else words.view(np.int64)
    return pa.array(numbers, mask=mask).cast(pa.string())


class _Spans:
    """Where the strings of a batch are in its text."""

    def __init__(self, columns: Columns, is_string: Flags) -> None:
        lengths = columns.values >> np.uint64(STRING_WORD_LENGTH_SHIFT) & np.uint64(STRING_WORD_LENGTH_MASK)
        sizes = np.where(is_string, lengths, np.uint64(0)).astype(np.int64)
        if len(sizes) and int(sizes.max()) > MOST_VALUE_BYTES:
            raise MalformedStreamError(f"a value has {int(sizes.max()):,} bytes")
        self._ends = np.cumsum(sizes)
        self._begins = self._ends - sizes
        if len(sizes) and int(self._ends[-1]) > len(columns.text):
            raise MalformedStreamError("the texts of a batch are shorter than its strings")
        self._text = columns.text
        self._codes = np.frombuffer(columns.text, np.uint8)
        self._is_ascii = columns.text.isascii()

    def array(self, pa: Any, positions: Positions, words: U64, is_null: Flags, rendered: bool) -> Any:
        """Returns the strings whose words are at these positions."""
        begins, ends = self._begins[positions], self._ends[positions]
        is_null = is_null | ((words & (_PRESENT | _UNREADABLE)) != _PRESENT)
        ends = np.where(is_null, begins, ends)
        if rendered and len(self._codes):
            begins, ends = self._unquoted(begins, ends, words)
        if not self._is_ascii and not self._is_valid(begins, ends):
            texts = [self._text[a:b].decode(errors="replace") for a, b in zip(begins, ends, strict=True)]
            return pa.array(texts, pa.string(), mask=is_null)
        offsets = np.zeros(len(begins) + 1, np.int32)
        np.cumsum(ends - begins, out=offsets[1:])
        if len(begins) and (begins[1:] == ends[:-1]).all():
            content: bytes | Any = self._text[int(begins[0]) : int(ends[-1])]
        else:
            sizes = ends - begins
            content = self._codes[np.repeat(begins - offsets[:-1], sizes) + np.arange(int(offsets[-1]))]
        bits = np.packbits(~is_null, bitorder="little") if is_null.any() else None
        return pa.StringArray.from_buffers(
            len(begins),
            pa.py_buffer(offsets),
            pa.py_buffer(content),
            None if bits is None else pa.py_buffer(bits),
        )

    def _unquoted(self, begins: Positions, ends: Positions, words: U64) -> tuple[Positions, Positions]:
        """Leaves out the quotes of objects that are strings or characters. One that the agent has truncated
        has only the first."""
        last = len(self._codes) - 1
        first_codes = self._codes[np.minimum(begins, last)]
        last_codes = self._codes[np.clip(ends - 1, 0, last)]
        size = ends - begins
        is_cut = (words & _CUT) != 0
        begins_quoted = (size > 0) & np.isin(first_codes, _QUOTES)
        is_whole = begins_quoted & ~is_cut & (size > 1) & (last_codes == first_codes)
        return begins + (is_whole | (begins_quoted & is_cut)), ends - is_whole

    def _is_valid(self, begins: Positions, ends: Positions) -> bool:
        """Returns whether the text is UTF-8, and no string begins or ends within a character."""
        try:
            self._text.decode()
        except UnicodeDecodeError:
            return False
        edges = np.concatenate([begins, ends])
        inner = edges[edges < len(self._codes)]
        return not ((self._codes[inner] & 0xC0) == 0x80).any()

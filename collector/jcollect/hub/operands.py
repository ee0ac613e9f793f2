"""The operands of a condition as columns: what the words of an event's values are compared as."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jcollect.hub.condition import Sort
from jcollect.layout.record import STRING_WORD_CUT, STRING_WORD_PRESENT, STRING_WORD_UNREADABLE
from jcollect.layout.stub_library import ABSENCE_NULL_SHIFT, ABSENCE_THREW_SHIFT
from jcollect.probes.rendered import Char, Rendered, value_of
from jcollect.sources.columns import U64, Batch, Flags
from jprobe.v1 import probe_pb2

_LENGTH = np.uint64(0xFFFFFFFF)
_PRESENT, _UNREADABLE, _CUT = map(np.uint64, (STRING_WORD_PRESENT, STRING_WORD_UNREADABLE, STRING_WORD_CUT))
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NUMBERS = (Sort.NUMBER, Sort.DECIMAL, Sort.CHAR)
_SORTS = {
    probe_pb2.VALUE_TYPE_STACK: Sort.STACK,
    probe_pb2.VALUE_TYPE_BOOLEAN: Sort.BOOLEAN,
    probe_pb2.VALUE_TYPE_CHAR: Sort.CHAR,
    probe_pb2.VALUE_TYPE_FLOAT: Sort.DECIMAL,
    probe_pb2.VALUE_TYPE_DOUBLE: Sort.DECIMAL,
    probe_pb2.VALUE_TYPE_STRING: Sort.STRING,
    probe_pb2.VALUE_TYPE_REFERENCE: Sort.REFERENCE,
}
# Longer texts of an object are not converted: they are no numbers.
_MOST_RENDERED = 1024


class Rows:
    """Some events of a batch: those at `events`, None for all. All of their probes have the same values."""

    def __init__(self, batch: Batch, events: npt.NDArray[np.int64] | None) -> None:
        self._columns = batch.columns
        self._at: Any = slice(None) if events is None else events
        self._batch = batch
        self._length = len(batch) if events is None else len(events)

    def __len__(self) -> int:
        return self._length

    def column(self, name: str) -> npt.NDArray[Any]:
        """Returns a column of the events."""
        found: npt.NDArray[Any] = getattr(self._columns, name)[self._at]
        return found

    def words(self, index: int) -> U64:
        """Returns the words of one value of each event."""
        counts = self._batch.value_counts
        if isinstance(self._at, slice):
            return self._columns.values[index :: int(counts[0])] if len(counts) else self._columns.values
        ends = np.cumsum(counts, dtype=np.int64)
        words: U64 = self._columns.values[(ends - counts)[self._at] + index]
        return words

    def text_starts(self) -> npt.NDArray[np.int64]:
        """Returns where the texts of each event begin in `text`."""
        sizes = self._batch.text_sizes
        starts: npt.NDArray[np.int64] = (np.cumsum(sizes, dtype=np.int64) - sizes)[self._at]
        return starts

    @property
    def text(self) -> bytes:
        return self._columns.text

    def none(self) -> Flags:
        return np.zeros(self._length, np.bool_)


@dataclass(frozen=True)
class Constant:
    """A literal; a duration is in ns."""

    sort: Sort
    value: int | float | str | bool | None


@dataclass(frozen=True)
class Column:
    """A value of the events. `name` is a column of the batch, or empty for the value at `index`.

    `strings` are the indices of the string values before it, and `absence` is the index of the word that
    marks absent values."""

    sort: Sort
    name: str = ""
    index: int = 0
    type: int = 0
    is_rendered: bool = False
    strings: tuple[int, ...] = ()
    absence: int | None = None

    BUILT_IN: ClassVar[dict[str, Column]]

    def there(self, rows: Rows) -> Flags:
        """Returns for which events the value is known: neither absent nor unreadable."""
        there = ~rows.none()
        if self.absence is not None:
            word = rows.words(self.absence)
            for shift in (ABSENCE_NULL_SHIFT, ABSENCE_THREW_SHIFT):
                there &= (word >> np.uint64(shift + self.index) & np.uint64(1)) == 0
        if self.type == probe_pb2.VALUE_TYPE_STRING:
            there &= rows.words(self.index) & _UNREADABLE == 0
        return there

    def null(self, rows: Rows) -> Flags:
        """Returns for which events the value, or something in its path, is null."""
        words = rows.words(self.index)
        null: Flags = words == 0
        if self.type == probe_pb2.VALUE_TYPE_STRING:
            null = (words & (_PRESENT | _UNREADABLE)) == 0
        if self.absence is not None:
            word = rows.words(self.absence)
            bit = np.uint64(1)
            threw = (word >> np.uint64(ABSENCE_THREW_SHIFT + self.index) & bit) == bit
            null = null & ~threw | ((word >> np.uint64(ABSENCE_NULL_SHIFT + self.index) & bit) == bit)
        return null

    def numbers(self, rows: Rows) -> npt.NDArray[Any]:
        """Returns the value as numbers of its type."""
        if self.name:
            return rows.column(self.name)
        words = rows.words(self.index)
        if self.type == probe_pb2.VALUE_TYPE_FLOAT:
            return words.astype(np.uint32).view(np.float32).astype(np.float64)
        if self.type == probe_pb2.VALUE_TYPE_DOUBLE:
            return np.ascontiguousarray(words).view(np.float64)
        if self.type in (probe_pb2.VALUE_TYPE_UNSIGNED, probe_pb2.VALUE_TYPE_REFERENCE):
            return words
        return np.ascontiguousarray(words).view(np.int64)

    def spans(self, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns where the string of each event begins in the text, and its length in bytes."""
        starts = rows.text_starts()
        for index in self.strings:
            starts = starts + (rows.words(index) & _LENGTH).astype(np.int64)
        return starts, (rows.words(self.index) & _LENGTH).astype(np.int64)

    def contents(self, rows: Rows, events: npt.NDArray[np.int64]) -> list[bytes]:
        """Returns the bytes of the strings of some of the events."""
        starts, lengths = self.spans(rows)
        text = rows.text
        ends = (starts + lengths)[events].tolist()
        return [text[a:b] for a, b in zip(starts[events].tolist(), ends, strict=True)]

    def is_text(self, rows: Rows) -> Flags:
        """Returns for which events there is a whole string: neither null nor truncated."""
        words = rows.words(self.index)
        whole: Flags = (words & (_PRESENT | _UNREADABLE | _CUT)) == _PRESENT
        return whole


Column.BUILT_IN = {
    "duration": Column(Sort.DURATION, "duration_nanos"),
    "tid": Column(Sort.NUMBER, "tid"),
    "thread": Column(Sort.NUMBER, "thread"),
}

Typed = Constant | Column


def column_of(values: Sequence[probe_pb2.Value], index: int) -> Column:
    """Returns the value at an index of a probe's values."""
    value = values[index]
    is_absence = values[-1].type == probe_pb2.VALUE_TYPE_ABSENCE
    is_rendered = value.type == probe_pb2.VALUE_TYPE_STRING and value.rendered
    return Column(
        Sort.REFERENCE if is_rendered else _SORTS.get(value.type, Sort.NUMBER),
        index=index,
        type=value.type,
        is_rendered=is_rendered,
        strings=tuple(at for at in range(index) if values[at].type == probe_pb2.VALUE_TYPE_STRING),
        absence=len(values) - 1 if is_absence else None,
    )


def compared(left: Typed, relation: str, right: Typed) -> Callable[[Rows], Flags] | None:
    """Returns the test that compares two operands; None if they cannot be compared so."""
    if isinstance(left, Constant):
        if isinstance(right, Constant):
            return None
        return compared(right, _MIRRORED.get(relation, relation), left)
    is_equality = relation in ("==", "!=")
    if isinstance(right, Constant):
        return _with_constant(left, relation, right, is_equality)
    return _with_column(left, relation, right, is_equality)


def _with_constant(
    left: Column, relation: str, right: Constant, is_equality: bool
) -> Callable[[Rows], Flags] | None:
    value = right.value
    if right.sort == Sort.NULL:
        return _null(left, relation) if is_equality and left.sort in (Sort.STRING, Sort.REFERENCE) else None
    if left.sort == Sort.CHAR and isinstance(value, str):
        if len(value) != 1 or not is_equality:
            return None
        return _numeric(left, relation, ord(value))
    if left.is_rendered:
        ordered = right.sort in (Sort.NUMBER, Sort.DECIMAL)
        return _rendered(left, relation, right) if is_equality or ordered else None
    if left.sort == Sort.STRING and isinstance(value, str):
        return _text(left, relation, value.encode(errors="surrogatepass")) if is_equality else None
    if left.sort == Sort.BOOLEAN and isinstance(value, bool):
        return _numeric(left, relation, int(value)) if is_equality else None
    if left.sort == Sort.DURATION and right.sort == Sort.DURATION:
        return _numeric(left, relation, value)
    if left.sort in _NUMBERS and right.sort in (Sort.NUMBER, Sort.DECIMAL):
        return _numeric(left, relation, value)
    return None


def _with_column(
    left: Column, relation: str, right: Column, is_equality: bool
) -> Callable[[Rows], Flags] | None:
    if (left.sort in _NUMBERS and right.sort in _NUMBERS) or left.sort == right.sort == Sort.DURATION:
        return _both(left, relation, right)
    if left.sort == right.sort == Sort.BOOLEAN and is_equality:
        return _both(left, relation, right)
    if left.sort == right.sort == Sort.STRING and is_equality:
        return _both_texts(left, relation, right)
    return None


def _null(left: Column, relation: str) -> Callable[[Rows], Flags]:
    if relation == "==":
        return left.null
    return lambda rows: ~left.null(rows) & left.there(rows)


def _numeric(left: Column, relation: str, value: Any) -> Callable[[Rows], Flags]:
    compare = _RELATIONS[relation]

    def test(rows: Rows) -> Flags:
        numbers = left.numbers(rows)
        if isinstance(value, float) and numbers.dtype.kind != "f":
            numbers = numbers.astype(np.float64)
        if numbers.dtype.kind == "u" and value < 0:
            # numpy would wrap the number around.
            found = np.full(len(rows), bool(compare(0, value)))
        else:
            found = compare(numbers, value)
        flags: Flags = found & left.there(rows) if left.absence is not None else found
        return flags

    return test


def _both(left: Column, relation: str, right: Column) -> Callable[[Rows], Flags]:
    compare = _RELATIONS[relation]

    def test(rows: Rows) -> Flags:
        one, other = left.numbers(rows), right.numbers(rows)
        if one.dtype.kind != other.dtype.kind:
            one, other = one.astype(np.float64), other.astype(np.float64)
        found: Flags = compare(one, other) & left.there(rows) & right.there(rows)
        return found

    return test


def _text(left: Column, relation: str, value: bytes) -> Callable[[Rows], Flags]:
    def test(rows: Rows) -> Flags:
        starts, lengths = left.spans(rows)
        equal = (lengths == len(value)) & left.is_text(rows)
        if value and equal.any():
            text = np.frombuffer(rows.text, np.uint8)
            wanted = np.frombuffer(value, np.uint8)
            events = np.flatnonzero(equal)
            bytes_of = text[starts[events, None] + np.arange(len(value))]
            equal[events] = (bytes_of == wanted).all(axis=1)
        found: Flags = (equal if relation == "==" else ~equal) & left.there(rows)
        return found

    return test


def _both_texts(left: Column, relation: str, right: Column) -> Callable[[Rows], Flags]:
    def test(rows: Rows) -> Flags:
        equal = left.null(rows) & right.null(rows)
        events = np.flatnonzero(left.is_text(rows) & right.is_text(rows))
        pairs = zip(left.contents(rows, events), right.contents(rows, events), strict=True)
        equal[events] = [one == other for one, other in pairs]
        there = left.there(rows) & right.there(rows)
        return (equal if relation == "==" else ~equal) & there

    return test


def _rendered(left: Column, relation: str, right: Constant) -> Callable[[Rows], Flags]:
    """Compares objects that are passed as text with a literal. An object of another type is not equal to it,
    and its comparison is false."""
    compare = _RELATIONS[relation]

    def test(rows: Rows) -> Flags:
        found = rows.none()
        events = np.flatnonzero(left.is_text(rows) & left.there(rows))
        converted = map(_literal_of, left.contents(rows, events))
        found[events] = [
            isinstance(value, bool) == isinstance(right.value, bool)
            and isinstance(value, str) == isinstance(right.value, str)
            and value is not None
            and bool(compare(value, right.value))
            for value in converted
        ]
        return found

    return test


@lru_cache(maxsize=4096)
def _literal_of(content: bytes) -> bool | int | float | str | None:
    """Returns what an object's text is compared as; None if it is longer than any literal."""
    if len(content) > _MOST_RENDERED:
        return None
    value = value_of(content.decode(errors="replace"))
    return value.text if isinstance(value, (Rendered, Char)) else value

"""Formats the values of many events at once: a column of words becomes a list of texts.

A format is a ValueFormat: its texts for what JSON and people are shown differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jcollect.layout.record import STRING_WORD_CUT, STRING_WORD_PRESENT, STRING_WORD_UNREADABLE
from jcollect.probes.rendered import Char, value_of
from jcollect.sources.columns import U64, Flags
from jcollect.sources.stacks import StackTable, StackTrace
from jcollect.view.texts import Positions, Remembered, Texts
from jprobe.v1 import probe_pb2

_PRESENT, _UNREADABLE, _CUT = map(np.uint64, (STRING_WORD_PRESENT, STRING_WORD_UNREADABLE, STRING_WORD_CUT))
_HASH = np.uint64(0xFFFFFFFF)
# Sizes of unsigned numbers of marks that every JSON parser reads exactly (probe.proto: Value.java_type).
_SMALL = ("uint8", "uint16", "uint32")


@dataclass(frozen=True, eq=False)
class ValueFormat:
    """The texts of one format. `truncated` follows a string that the agent truncated; `reference` begins the
    text of an object of a type, and `reference_end` ends it. `quotes_64_bits` is true if 64-bit numbers are
    strings."""

    null: str
    unreadable: str
    absent_null: str
    absent_exception: str
    unknown: str
    truncated: str
    reference: Callable[[str], str]
    reference_end: str
    char: Callable[[str], str]
    not_finite: Callable[[str], str]
    string: Remembered
    class_name: Remembered
    quotes_64_bits: bool = False
    stack: Callable[[StackTrace], str] = lambda stack: "\n".join(stack.frames)
    no_stack: str = ""


@dataclass(frozen=True)
class ValueColumn:
    """The words of one value in all events of a run; `positions` are theirs in the run's values.

    `prefixes` has what the probe of each event determines: the begin of a reference, the PID of a stack.
    """

    words: U64
    positions: Positions
    texts: Texts
    prefixes: Iterable[Any]
    stacks: StackTable

    def truncated(self) -> Flags:
        """Returns which words are those of strings that the agent truncated."""
        wanted = self.words & (_PRESENT | _UNREADABLE | _CUT)
        truncated: Flags = wanted == _PRESENT | _CUT
        return truncated


# Returns the texts of a column, or values whose str() is the text.
Render = Callable[[ValueFormat, ValueColumn], list[Any]]


def render_of(value: probe_pb2.Value, in_format: ValueFormat) -> Render:
    """Returns how to format a value that is not an absence mask."""
    if in_format.quotes_64_bits and value.type == probe_pb2.VALUE_TYPE_LONG:
        return _quoted_signed
    if value.type == probe_pb2.VALUE_TYPE_UNSIGNED and value.java_type not in _SMALL:
        return _quoted_unsigned if in_format.quotes_64_bits else _unsigned
    if value.rendered and value.type == probe_pb2.VALUE_TYPE_STRING:
        return _object
    return _RENDERS.get(value.type, _unknown)


def _boolean(_: ValueFormat, column: ValueColumn) -> list[Any]:
    return ["true" if word else "false" for word in column.words.tolist()]


def _signed(_: ValueFormat, column: ValueColumn) -> list[Any]:
    numbers: list[int] = column.words.view(np.int64).tolist()
    return numbers


def _unsigned(_: ValueFormat, column: ValueColumn) -> list[Any]:
    numbers: list[int] = column.words.tolist()
    return numbers


def _quoted_signed(_: ValueFormat, column: ValueColumn) -> list[Any]:
    return [f'"{word}"' for word in column.words.view(np.int64).tolist()]


def _quoted_unsigned(_: ValueFormat, column: ValueColumn) -> list[Any]:
    return [f'"{word}"' for word in column.words.tolist()]


def _char(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    return [_char_text(in_format, word & 0xFFFF) for word in column.words.tolist()]


@lru_cache(maxsize=4096)
def _char_text(in_format: ValueFormat, code: int) -> str:
    return in_format.char(chr(code))


def _float(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    singles = column.words.astype(np.uint32).view(np.float32)
    # numpy prints the shortest decimal of 32 bits, so 0.1f becomes 0.1.
    return _numbers(in_format, singles.astype("U32").astype(np.float64).tolist())


def _double(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    return _numbers(in_format, column.words.view(np.float64).tolist())


def _numbers(in_format: ValueFormat, numbers: list[float]) -> list[Any]:
    if all(map(math.isfinite, numbers)):
        return numbers
    return [number if math.isfinite(number) else in_format.not_finite(_name_of(number)) for number in numbers]


def _name_of(number: float) -> str:
    """Returns the name of a non-finite number, as Java prints it."""
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _string(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    return _strings(in_format, column, in_format.string)


def class_name(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    """Formats the name of an exception's class."""
    return _strings(in_format, column, in_format.class_name)


def _strings(in_format: ValueFormat, column: ValueColumn, texts: Remembered) -> list[Any]:
    found: list[Any] = column.texts.formatted(column.positions, texts)
    words = column.words
    for i in ((words & (_PRESENT | _UNREADABLE)) != _PRESENT).nonzero()[0].tolist():
        found[i] = in_format.unreadable if int(words[i]) & STRING_WORD_UNREADABLE else in_format.null
    if in_format.truncated:
        truncated = np.flatnonzero(column.truncated())
        if len(truncated):
            whole = column.texts.formatted(column.positions[truncated], in_format.string)
            for i, text in zip(truncated.tolist(), whole, strict=True):
                found[i] = text + in_format.truncated
    return found


def _object(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    """Formats objects that are passed as text."""
    return [
        _object_text(in_format, word, content)
        for word, content in zip(column.words.tolist(), column.texts.contents(column.positions), strict=True)
    ]


def _object_text(in_format: ValueFormat, word: int, content: bytes) -> str:
    if word & STRING_WORD_UNREADABLE:
        return in_format.unreadable
    if not word & STRING_WORD_PRESENT:
        return in_format.null
    if word & STRING_WORD_CUT:
        # It keeps its text, without the first quote.
        return in_format.string(content.removeprefix(b'"')) + in_format.truncated
    text = content.decode(errors="replace")
    value = value_of(text)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f'"{value}"' if in_format.quotes_64_bits else str(value)
    if isinstance(value, float):
        # The text of the program: 12.50 has a scale.
        return text if math.isfinite(value) else in_format.not_finite(_name_of(value))
    if isinstance(value, Char):
        return in_format.char(value.text)
    if isinstance(value, str):
        return in_format.string(value.encode())
    return in_format.class_name(value.text.encode())


def _reference(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    null, end = in_format.null, in_format.reference_end
    hashes = (column.words & _HASH).tolist()
    is_set = column.words.astype(np.bool_).tolist()
    return [
        f"{prefix}{number:x}{end}" if there else null
        for prefix, number, there in zip(column.prefixes, hashes, is_set, strict=True)
    ]


def _stack(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    known: dict[tuple[int, int], str] = {}
    texts = []
    for pid, number in zip(column.prefixes, column.words.tolist(), strict=True):
        text = known.get((pid, number))
        if text is None:
            stack = column.stacks.get(pid, number)
            if stack is not None:
                text = in_format.stack(stack)
            else:
                text = in_format.unknown if number else in_format.no_stack
            known[pid, number] = text
        texts.append(text)
    return texts


def prefix_of(value: probe_pb2.Value, pid: int, in_format: ValueFormat) -> Any:
    """Returns what the probe determines of a value: see ValueColumn."""
    return pid if value.type == probe_pb2.VALUE_TYPE_STACK else in_format.reference(value.java_type)


def _unknown(in_format: ValueFormat, column: ValueColumn) -> list[Any]:
    return [in_format.unknown] * len(column.words)


_RENDERS: dict[int, Render] = {
    probe_pb2.VALUE_TYPE_BOOLEAN: _boolean,
    probe_pb2.VALUE_TYPE_BYTE: _signed,
    probe_pb2.VALUE_TYPE_SHORT: _signed,
    probe_pb2.VALUE_TYPE_INT: _signed,
    probe_pb2.VALUE_TYPE_LONG: _signed,
    probe_pb2.VALUE_TYPE_CHAR: _char,
    probe_pb2.VALUE_TYPE_FLOAT: _float,
    probe_pb2.VALUE_TYPE_DOUBLE: _double,
    probe_pb2.VALUE_TYPE_UNSIGNED: _unsigned,
    probe_pb2.VALUE_TYPE_STRING: _string,
    probe_pb2.VALUE_TYPE_REFERENCE: _reference,
    probe_pb2.VALUE_TYPE_STACK: _stack,
}

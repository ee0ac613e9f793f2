"""Makes events of the columns of a batch, one object per event: docs/event-format.md has the types of
values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import repeat

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
from jcollect.probes.rendered import Char, Rendered, value_of
from jcollect.rpc.public.event import Event, Missing, ObjectText, TruncatedText, Value
from jcollect.rpc.public.explanation import Explanation, explanations_of
from jcollect.rpc.public.probe import Probe, probe_of, value_names
from jcollect.sources.columns import U32, U64, Columns
from jcollect.sources.stacks import StackTable
from jcollect.view.texts import MOST_VALUE_BYTES
from jprobe.v1 import collector_pb2, probe_pb2

_HASH_MASK = 0xFFFFFFFF
_CHAR_MASK = 0xFFFF
_NO_VALUES: Mapping[str, Value] = {}
_Decode = Callable[[int], Value]


class DescribedProbe:
    """A probe with the decoders of its values. None stands for a string, which needs more than its word."""

    def __init__(self, message: collector_pb2.Probe, stacks: StackTable | None = None) -> None:
        """`stacks` has those that the probe's events refer to."""
        self.message = message
        self.stacks = StackTable() if stacks is None else stacks

    # Most of a collector's probes have no event in a stream.
    @cached_property
    def probe(self) -> Probe:
        return probe_of(self.message)

    @cached_property
    def names(self) -> list[str]:
        return value_names(self.message)

    @cached_property
    def decoders(self) -> list[_Decode | None]:
        return [_decoder(value, self.message.pid, self.stacks) for value in self.message.values]

    @cached_property
    def rendered(self) -> list[bool]:
        return [value.rendered for value in self.message.values]

    @cached_property
    def has_absence(self) -> bool:
        return len(self.names) < len(self.decoders)


def events_of(columns: Columns, probes: Mapping[int, DescribedProbe]) -> Iterator[Event]:
    """Yields the events of a checked batch, in order. Raises MalformedStreamError for strings that do not
    fit the text."""
    words: list[int] = columns.values.tolist()
    has_values = bool(words)
    value_at, texts = 0, _Texts(columns.text)
    count = len(columns.probe)
    explained: Iterable[Explanation | None] = repeat(None, count)
    if columns.explanation is not None:
        explained = explanations_of(columns.explanation)
    for seq, time, number, tid, thread, duration, start, explanation in zip(
        columns.seq.tolist(),
        _column(columns.time_unix_nanos, count),
        columns.probe.tolist(),
        _column(columns.tid, count),
        _column(columns.thread, count),
        _column(columns.duration_nanos, count),
        _column(columns.start_unix_nanos, count),
        explained,
        strict=True,
    ):
        described = probes[number]
        values = _NO_VALUES
        if has_values and described.decoders:
            end = value_at + len(described.decoders)
            values = _values(described, words[value_at:end], texts)
            value_at = end
        yield Event(seq, time, described.probe, tid, thread, duration, values, start, explanation)


def _column(column: U64 | U32, count: int) -> list[int]:
    """Returns a column; zeros if the stream does not have it."""
    numbers: list[int] = column.tolist()
    return numbers or [0] * count


class _Texts:
    """The texts of a batch's strings, which lie one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def next(self, size: int) -> str:
        if size > MOST_VALUE_BYTES:
            raise MalformedStreamError(f"a value has {size:,} bytes")
        end = self._at + size
        if end > len(self._content):
            raise MalformedStreamError("the texts of a batch are shorter than its strings")
        text = self._content[self._at : end]
        self._at = end
        return text.decode(errors="replace")


def _values(described: DescribedProbe, words: list[int], texts: _Texts) -> dict[str, Value]:
    found: dict[str, Value] = {}
    absent = words[-1] if described.has_absence else 0
    for index, name in enumerate(described.names):
        word = words[index]
        decode = described.decoders[index]
        value = _string(word, texts, described.rendered[index]) if decode is None else decode(word)
        if absent:
            if absent >> ABSENCE_THREW_SHIFT + index & 1:
                value = Missing.EXCEPTION
            if absent >> ABSENCE_NULL_SHIFT + index & 1:
                value = Missing.ABSENT
        found[name] = value
    return found


def _string(word: int, texts: _Texts, is_object: bool) -> Value:
    text = texts.next(word >> STRING_WORD_LENGTH_SHIFT & STRING_WORD_LENGTH_MASK)
    if word & STRING_WORD_UNREADABLE:
        return Missing.UNREADABLE
    if not word & STRING_WORD_PRESENT:
        return None
    if word & STRING_WORD_CUT:
        # Of a string that is passed as an object, the agent has kept the first quote.
        return TruncatedText(text.removeprefix('"') if is_object else text)
    return _object(text) if is_object else text


@lru_cache(maxsize=4096)
def _object(text: str) -> Value:
    value = value_of(text)
    if isinstance(value, Rendered):
        return ObjectText(value.text)
    return value.text if isinstance(value, Char) else value


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _char(word: int) -> str:
    return chr(word & _CHAR_MASK)


def _float(word: int) -> float:
    # numpy prints the shortest decimal of 32 bits, so 0.1f becomes 0.1.
    return float(str(np.frombuffer(struct.pack("<I", word & _HASH_MASK), "<f4")[0]))


def _double(word: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<Q", word))
    return float(value)


def _stack(stacks: StackTable, pid: int, word: int) -> Value:
    found = stacks.get(pid, word)
    if found is not None:
        return found.frames
    return Missing.UNKNOWN if word else Missing.ABSENT


def _unknown(word: int) -> Value:
    return Missing.UNKNOWN


_BY_TYPE: dict[int, _Decode] = {
    probe_pb2.VALUE_TYPE_BOOLEAN: bool,
    probe_pb2.VALUE_TYPE_BYTE: _signed,
    probe_pb2.VALUE_TYPE_SHORT: _signed,
    probe_pb2.VALUE_TYPE_INT: _signed,
    probe_pb2.VALUE_TYPE_LONG: _signed,
    probe_pb2.VALUE_TYPE_CHAR: _char,
    probe_pb2.VALUE_TYPE_FLOAT: _float,
    probe_pb2.VALUE_TYPE_DOUBLE: _double,
    probe_pb2.VALUE_TYPE_UNSIGNED: int,
}


def _decoder(value: probe_pb2.Value, pid: int, stacks: StackTable) -> _Decode | None:
    if value.type == probe_pb2.VALUE_TYPE_STACK:
        return lambda word: _stack(stacks, pid, word)
    if value.type == probe_pb2.VALUE_TYPE_STRING:
        return None
    if value.type == probe_pb2.VALUE_TYPE_REFERENCE:
        java_type = value.java_type
        return lambda word: ObjectText(f"{java_type}@{word & _HASH_MASK:x}") if word else None
    return _BY_TYPE.get(value.type, _unknown)

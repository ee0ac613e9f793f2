"""Columns to rows: one event as Python values, for whoever prints them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

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
from jcollect.sources.columns import Columns
from jprobe.v1 import probe_pb2

# Maximum string, 64 times the longest that the agent captures.
MOST_VALUE_BYTES = 64 << 10


@dataclass(frozen=True)
class Char:
    """A Java char: one UTF-16 code unit, which may be half of a surrogate pair."""

    text: str


class Unreadable:
    """Stands for a string whose memory could not be read."""


@dataclass(frozen=True)
class Cut:
    """A string that was longer in Java: what the agent's string limit has left of it."""

    text: str


@dataclass(frozen=True)
class Absent:
    """Stands for a value that there is not: its path met a null, or reading it threw an exception."""

    reason: Literal["null", "exception"]


@dataclass(frozen=True)
class Reference:
    """An object: its declared Java type and identity hash."""

    java_type: str
    identity_hash: int

    def __str__(self) -> str:
        return f"{self.java_type}@{self.identity_hash:x}"


UNREADABLE = Unreadable()
Decoded = bool | int | float | str | Char | Reference | Unreadable | Cut | Absent | None


@dataclass(frozen=True, slots=True)
class Row:
    """One event. `time_unix_nanos` and `duration_nanos` in ns.

    `values` are those that no selector has asked for, `captures` the others, by name; both in the order
    of the probe's schema.
    """

    seq: int
    time_unix_nanos: int
    probe: Described
    tid: int
    thread: int
    duration_nanos: int
    values: tuple[Decoded, ...]
    captures: Mapping[str, Decoded]


class RowDecoder:
    """Reads the batches of one subscription."""

    def __init__(self, probes: Iterable[Described] = ()) -> None:
        self._plans: dict[int, _Plan] = {}
        self.add(probes)

    def add(self, probes: Iterable[Described]) -> None:
        """The probes of a schema: the stream's first message, or a later one."""
        self._plans.update({probe.id: _Plan(probe) for probe in probes})

    def rows(self, columns: Columns) -> Iterator[Row]:
        """The events of a batch in order. Raises KeyError for a probe that is not in the schema, and
        MalformedStreamError for a string that is too long."""
        values = columns.values.tolist()
        text = columns.text
        value_at = text_at = 0
        for seq, time, probe_id, tid, thread, duration in zip(
            columns.seq.tolist(),
            columns.time_unix_nanos.tolist(),
            columns.probe.tolist(),
            columns.tid.tolist(),
            columns.thread.tolist(),
            columns.duration_nanos.tolist(),
            strict=True,
        ):
            plan = self._plans[probe_id]
            decoded: list[Decoded] = []
            for decode in plan.decoders:
                word = values[value_at]
                value_at += 1
                if decode is None:
                    size = word >> STRING_WORD_LENGTH_SHIFT & STRING_WORD_LENGTH_MASK
                    if size > MOST_VALUE_BYTES:
                        raise MalformedStreamError(f"a value has {size:,} bytes")
                    decoded.append(_string(word, text[text_at : text_at + size]))
                    text_at += size
                else:
                    decoded.append(decode(word))
            captures: dict[str, Decoded] = {}
            if plan.asked:
                decoded, captures = plan.sort(decoded, values[value_at - 1])
            yield Row(seq, time, plan.probe, tid, thread, duration, tuple(decoded), captures)


class _Plan:
    """How to read the values of one probe. `asked` tells whether it has any that a selector asked for."""

    def __init__(self, probe: Described) -> None:
        self.probe = probe
        self.decoders = [_decoder(value) for value in probe.values]
        self._has_absence = bool(probe.values) and probe.values[-1].type == probe_pb2.VALUE_TYPE_ABSENCE
        values = probe.values[:-1] if self._has_absence else probe.values
        # The name of each that was asked for; None for the others.
        self._names = [value.name if value.path else None for value in values]
        self.asked = self._has_absence or any(self._names)

    def sort(self, decoded: list[Decoded], last: int) -> tuple[list[Decoded], dict[str, Decoded]]:
        """Parts what was not asked for from what was. `last` is the last value's word."""
        absent = last if self._has_absence else 0
        usual: list[Decoded] = []
        captures: dict[str, Decoded] = {}
        for i, name in enumerate(self._names):
            value = decoded[i]
            if absent >> ABSENCE_NULL_SHIFT + i & 1:
                value = _ABSENT_NULL
            elif absent >> ABSENCE_THREW_SHIFT + i & 1:
                value = _ABSENT_EXCEPTION
            if name is None:
                usual.append(value)
            else:
                captures[name] = value
        return usual, captures


_ABSENT_NULL = Absent("null")
_ABSENT_EXCEPTION = Absent("exception")


def _string(word: int, text: bytes) -> Decoded:
    if word & STRING_WORD_UNREADABLE:
        return UNREADABLE
    if not word & STRING_WORD_PRESENT:
        return None
    decoded = text.decode(errors="replace")
    return Cut(decoded) if word & STRING_WORD_CUT else decoded


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _float(word: int) -> float:
    # By way of numpy's shortest decimal for 32 bits, so that 0.1f prints as 0.1.
    return float(str(np.frombuffer(struct.pack("<I", word & 0xFFFFFFFF), "<f4")[0]))


def _double(word: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<Q", word))
    return float(value)


_BY_TYPE: dict[int, Callable[[int], Decoded]] = {
    probe_pb2.VALUE_TYPE_BOOLEAN: bool,
    probe_pb2.VALUE_TYPE_BYTE: _signed,
    probe_pb2.VALUE_TYPE_SHORT: _signed,
    probe_pb2.VALUE_TYPE_INT: _signed,
    probe_pb2.VALUE_TYPE_LONG: _signed,
    probe_pb2.VALUE_TYPE_CHAR: lambda word: Char(chr(word & 0xFFFF)),
    probe_pb2.VALUE_TYPE_FLOAT: _float,
    probe_pb2.VALUE_TYPE_DOUBLE: _double,
    probe_pb2.VALUE_TYPE_UNSIGNED: int,
}


def _decoder(value: probe_pb2.Value) -> Callable[[int], Decoded] | None:
    """None stands for strings, which need more than their word."""
    if value.type == probe_pb2.VALUE_TYPE_STRING:
        return None
    if value.type == probe_pb2.VALUE_TYPE_REFERENCE:
        java_type = value.java_type
        return lambda word: Reference(java_type, word & 0xFFFFFFFF) if word else None
    # A type of a later version: as the number that it is.
    return _BY_TYPE.get(value.type, _signed)

"""Converts columns to rows, one event as Python values: the simple way, which jcollect's is compared with."""

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
from jcollect.probes.rendered import Char, Rendered, value_of
from jcollect.sources.columns import Columns
from jcollect.view.texts import MOST_VALUE_BYTES
from jprobe.v1 import probe_pb2


class Unreadable:
    """A string whose memory could not be read."""


class Unknown:
    """A value whose type only a later version knows."""


class Long(int):
    """A number of 64 bits."""


@dataclass(frozen=True)
class Truncated:
    """A string that the agent truncated to its string limit."""

    text: str


@dataclass(frozen=True)
class Absent:
    """An absent value: its path contains a null, or evaluating it threw an exception."""

    reason: Literal["null", "exception"]


@dataclass(frozen=True)
class Reference:
    """An object of which an earlier agent passes no more: its declared Java type and identity hash."""

    java_type: str
    identity_hash: int

    def __str__(self) -> str:
        return f"{self.java_type}@{self.identity_hash:x}"


UNREADABLE = Unreadable()
UNKNOWN = Unknown()
Decoded = (
    bool | int | float | str | Char | Reference | Rendered | Unreadable | Unknown | Truncated | Absent | None
)


@dataclass(frozen=True, slots=True)
class Row:
    """One event. `time_unix_nanos` and `duration_nanos` in ns.

    `captures` are the values that a selector captures, by name; `values` are all others. Both are in the
    order of the probe's schema.
    """

    seq: int
    time_unix_nanos: int
    probe: Described
    tid: int
    thread: int
    duration_nanos: int
    values: tuple[Decoded, ...]
    captures: Mapping[str, Decoded]
    start_unix_nanos: int = 0


class RowDecoder:
    """Decodes the batches of one subscription."""

    def __init__(self, probes: Iterable[Described] = ()) -> None:
        self._plans: dict[int, _Plan] = {}
        self.add(probes)

    def add(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema."""
        self._plans.update({probe.id: _Plan(probe) for probe in probes})

    def rows(self, columns: Columns) -> Iterator[Row]:
        """Yields the events of a batch in order. Raises KeyError for a probe that no schema described, and
        MalformedStreamError for a string that is too long."""
        values = columns.values.tolist()
        text = columns.text
        value_at = text_at = 0
        starts = columns.start_unix_nanos.tolist() or [0] * len(columns)
        for seq, time, probe_id, tid, thread, duration, start in zip(
            columns.seq.tolist(),
            columns.time_unix_nanos.tolist(),
            columns.probe.tolist(),
            columns.tid.tolist(),
            columns.thread.tolist(),
            columns.duration_nanos.tolist(),
            starts,
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
            for i in plan.rendered:
                decoded[i] = _object(decoded[i])
            if plan.has_captures:
                decoded, captures = plan.sort(decoded, values[value_at - 1])
            yield Row(seq, time, plan.probe, tid, thread, duration, tuple(decoded), captures, start)


class _Plan:
    """The decoders for the values of one probe. `has_captures` is true if it may have captures.

    `rendered` has the indices of objects.
    """

    def __init__(self, probe: Described) -> None:
        self.probe = probe
        self.decoders = [_decoder(value) for value in probe.values]
        self.rendered = [i for i, value in enumerate(probe.values) if value.rendered]
        self._has_absence = bool(probe.values) and probe.values[-1].type == probe_pb2.VALUE_TYPE_ABSENCE
        values = probe.values[:-1] if self._has_absence else probe.values
        # The names of captures; None for other values.
        self._names = [value.name if value.path else None for value in values]
        self.has_captures = self._has_absence or any(name is not None for name in self._names)

    def sort(self, decoded: list[Decoded], last: int) -> tuple[list[Decoded], dict[str, Decoded]]:
        """Separates other values from captures. `last` is the word of the last value."""
        absent = last if self._has_absence else 0
        others: list[Decoded] = []
        captures: dict[str, Decoded] = {}
        for i, name in enumerate(self._names):
            value = decoded[i]
            if absent >> ABSENCE_NULL_SHIFT + i & 1:
                value = _ABSENT_NULL
            elif absent >> ABSENCE_THREW_SHIFT + i & 1:
                value = _ABSENT_EXCEPTION
            if name is None:
                others.append(value)
            else:
                captures[name] = value
        return others, captures


_ABSENT_NULL = Absent("null")
_ABSENT_EXCEPTION = Absent("exception")


def _string(word: int, text: bytes) -> Decoded:
    if word & STRING_WORD_UNREADABLE:
        return UNREADABLE
    if not word & STRING_WORD_PRESENT:
        return None
    decoded = text.decode(errors="replace")
    return Truncated(decoded) if word & STRING_WORD_CUT else decoded


def _object(text: Decoded) -> Decoded:
    """Returns the value of an object's text. A truncated one keeps its text, without the first quote."""
    if isinstance(text, Truncated):
        return Truncated(text.text.removeprefix('"'))
    found = value_of(text) if isinstance(text, str) else text
    return Long(found) if isinstance(text, str) and type(found) is int else found


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _float(word: int) -> float:
    # numpy prints the shortest decimal of 32 bits, so 0.1f becomes 0.1.
    return float(str(np.frombuffer(struct.pack("<I", word & 0xFFFFFFFF), "<f4")[0]))


def _double(word: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<Q", word))
    return float(value)


_BY_TYPE: dict[int, Callable[[int], Decoded]] = {
    probe_pb2.VALUE_TYPE_BOOLEAN: bool,
    probe_pb2.VALUE_TYPE_BYTE: _signed,
    probe_pb2.VALUE_TYPE_SHORT: _signed,
    probe_pb2.VALUE_TYPE_INT: _signed,
    probe_pb2.VALUE_TYPE_LONG: lambda word: Long(_signed(word)),
    probe_pb2.VALUE_TYPE_CHAR: lambda word: Char(chr(word & 0xFFFF)),
    probe_pb2.VALUE_TYPE_FLOAT: _float,
    probe_pb2.VALUE_TYPE_DOUBLE: _double,
}


def _decoder(value: probe_pb2.Value) -> Callable[[int], Decoded] | None:
    """Returns the decoder for a word; None for strings, which need more than their word."""
    if value.type == probe_pb2.VALUE_TYPE_STRING:
        return None
    if value.type == probe_pb2.VALUE_TYPE_REFERENCE:
        java_type = value.java_type
        return lambda word: Reference(java_type, word & 0xFFFFFFFF) if word else None
    if value.type == probe_pb2.VALUE_TYPE_UNSIGNED:
        return int if value.java_type in ("uint8", "uint16", "uint32") else Long
    return _BY_TYPE.get(value.type, lambda word: UNKNOWN)

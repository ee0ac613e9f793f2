"""Columns to rows: one event as Python values, for whoever prints them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.stream.columns import Columns
from jprobe.v1 import collector_pb2, probe_pb2

_PRESENT = 1 << 32
_UNREADABLE = 1 << 33


@dataclass(frozen=True)
class Char:
    """A Java char: one UTF-16 code unit, which may be half of a surrogate pair."""

    text: str


class Unreadable:
    """Stands for a string whose memory could not be read."""


@dataclass(frozen=True)
class Reference:
    """An object: its declared Java type and identity hash."""

    java_type: str
    identity_hash: int

    def __str__(self) -> str:
        return f"{self.java_type}@{self.identity_hash:x}"


UNREADABLE = Unreadable()
Decoded = bool | int | float | str | Char | Reference | Unreadable | None


@dataclass(frozen=True, slots=True)
class Row:
    """One event. `time_unix_nanos` and `duration_nanos` in ns; `values` as the probe's schema names them."""

    seq: int
    time_unix_nanos: int
    probe: collector_pb2.Probe
    tid: int
    thread: int
    duration_nanos: int
    values: tuple[Decoded, ...]


class RowDecoder:
    """Reads the batches of one subscription."""

    def __init__(self, probes: Sequence[collector_pb2.Probe]) -> None:
        """`probes` from the schema, the first message of the stream."""
        self._probes = {
            probe.id: (probe, tuple(_decoder(value) for value in probe.values)) for probe in probes
        }

    def rows(self, columns: Columns) -> Iterator[Row]:
        """The events of a batch in order. Raises KeyError for a probe that is not in the schema."""
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
            probe, decoders = self._probes[probe_id]
            decoded: list[Decoded] = []
            for decode in decoders:
                word = values[value_at]
                value_at += 1
                if decode is None:
                    size = word & 0xFFFFFFFF
                    decoded.append(_string(word, text[text_at : text_at + size]))
                    text_at += size
                else:
                    decoded.append(decode(word))
            yield Row(seq, time, probe, tid, thread, duration, tuple(decoded))


def _string(word: int, text: bytes) -> Decoded:
    if word & _UNREADABLE:
        return UNREADABLE
    return text.decode(errors="replace") if word & _PRESENT else None


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

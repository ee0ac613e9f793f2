"""Builds batches of events from Python values, with the words that an agent passes for them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jcollect.layout.record import STRING_WORD_CUT, STRING_WORD_PRESENT, STRING_WORD_UNREADABLE
from jcollect.probes.description import ProbeDescription
from jcollect.sources.columns import Batch, Columns
from jprobe.v1 import probe_pb2

_TYPES = {
    "long": probe_pb2.VALUE_TYPE_LONG,
    "int": probe_pb2.VALUE_TYPE_INT,
    "boolean": probe_pb2.VALUE_TYPE_BOOLEAN,
    "char": probe_pb2.VALUE_TYPE_CHAR,
    "float": probe_pb2.VALUE_TYPE_FLOAT,
    "double": probe_pb2.VALUE_TYPE_DOUBLE,
    "uint64": probe_pb2.VALUE_TYPE_UNSIGNED,
    "java.lang.String": probe_pb2.VALUE_TYPE_STRING,
    "absent": probe_pb2.VALUE_TYPE_ABSENCE,
}


@dataclass(frozen=True)
class Cut:
    """A string that was truncated."""

    text: str


UNREADABLE = object()


def value(name: str, java_type: str, path: str = "") -> probe_pb2.Value:
    """Returns the description of a value. Types that are not Java's own are objects passed as text."""
    return probe_pb2.Value(
        name=name,
        java_type=java_type,
        type=_TYPES.get(java_type, probe_pb2.VALUE_TYPE_STRING),
        path=path,
        rendered=java_type not in _TYPES,
    )


def probe(number: int, *values: probe_pb2.Value, method: str = "place", pid: int = 4711) -> ProbeDescription:
    """Returns a return probe with these values."""
    return ProbeDescription(
        id=number,
        pid=pid,
        provider="com_acme_Orders",
        name=f"{method}__return",
        kind=probe_pb2.PROBE_KIND_RETURN,
        class_name="com.acme.Orders",
        class_loader_id=0,
        method=method,
        method_descriptor="()V",
        values=values,
        file="",
        location=0,
        semaphore=0,
        condition="",
    )


@dataclass(frozen=True)
class Event:
    """An event to build; times are in ns."""

    of: ProbeDescription
    values: Sequence[Any] = ()
    duration: int = 0
    time: int = 0
    thread: int = 1
    tid: int = 100
    start: int = 0


def batch(events: Sequence[Event], first_seq: int = 0) -> Batch:
    """Returns the events as a batch with consecutive numbers."""
    words: list[int] = []
    texts: list[bytes] = []
    sizes: list[int] = []
    for event in events:
        size = 0
        for described, content in zip(event.of.values, event.values, strict=True):
            word, text = _word(described, content)
            words.append(word)
            texts.append(text)
            size += len(text)
        sizes.append(size)
    columns = Columns(
        seq=np.arange(first_seq, first_seq + len(events), dtype=np.uint64),
        time_unix_nanos=np.array([event.time for event in events], np.uint64),
        probe=np.array([event.of.id for event in events], np.uint32),
        tid=np.array([event.tid for event in events], np.uint32),
        thread=np.array([event.thread for event in events], np.uint64),
        duration_nanos=np.array([event.duration for event in events], np.uint64),
        values=np.array(words, np.uint64),
        text=b"".join(texts),
        start_unix_nanos=np.array([event.start for event in events], np.uint64),
    )
    counts = np.array([len(event.values) for event in events], np.uint32)
    return Batch(columns, counts, np.array(sizes, np.uint32))


def _word(described: probe_pb2.Value, content: Any) -> tuple[int, bytes]:
    if described.type == probe_pb2.VALUE_TYPE_STRING:
        if content is None:
            return 0, b""
        if content is UNREADABLE:
            return STRING_WORD_UNREADABLE, b""
        cut = STRING_WORD_CUT if isinstance(content, Cut) else 0
        text = (content.text if isinstance(content, Cut) else content).encode()
        return len(text) | STRING_WORD_PRESENT | cut, text
    if described.type == probe_pb2.VALUE_TYPE_DOUBLE:
        return int.from_bytes(struct.pack("<d", content), "little"), b""
    if described.type == probe_pb2.VALUE_TYPE_FLOAT:
        return int.from_bytes(struct.pack("<f", content), "little"), b""
    if described.type == probe_pb2.VALUE_TYPE_CHAR:
        return ord(content), b""
    return int(content) & (1 << 64) - 1, b""

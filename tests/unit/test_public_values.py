"""Values of events in the public client: each type, and the same as the plain decoder of the tests."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from jcollect import Missing, ObjectText, TruncatedText
from jcollect.errors import MalformedStreamError
from jcollect.rpc.public.event import Value
from jcollect.rpc.public.event_decoder import DescribedProbe, events_of
from jcollect.sources.columns import Columns
from jprobe.v1 import collector_pb2, probe_pb2
from ring_image import string

LONG, STRING = probe_pb2.VALUE_TYPE_LONG, probe_pb2.VALUE_TYPE_STRING
NULL_STRING = 0


def probe(*types: int, **value: object) -> DescribedProbe:
    values = [
        probe_pb2.Value(name=f"v{number}", type=of_type, java_type="com.acme.Order", **value)
        for number, of_type in enumerate(types)
    ]
    return DescribedProbe(collector_pb2.Probe(id=0, kind=probe_pb2.PROBE_KIND_ENTRY, values=values))


def columns_of(words: list[int], text: bytes = b"", events: int = 1) -> Columns:
    ones = np.ones(events, np.uint64)
    zeros = np.zeros(events, np.uint32)
    return Columns(ones, ones, zeros, zeros, ones, ones, np.array(words, np.uint64), text)


def values_of(described: DescribedProbe, words: list[int], text: bytes = b"") -> list[Value]:
    (event,) = events_of(columns_of(words, text), {0: described})
    return list(event.values.values())


def bits(form: str, number: float) -> int:
    word: int = struct.unpack("<Q", struct.pack(form, number).ljust(8, b"\0"))[0]
    return word


@pytest.mark.parametrize(
    ("of_type", "word", "value"),
    [
        (probe_pb2.VALUE_TYPE_BOOLEAN, 1, True),
        (probe_pb2.VALUE_TYPE_BYTE, (1 << 64) - 3, -3),
        (probe_pb2.VALUE_TYPE_LONG, 1 << 63, -(1 << 63)),
        (probe_pb2.VALUE_TYPE_UNSIGNED, (1 << 64) - 1, (1 << 64) - 1),
        (probe_pb2.VALUE_TYPE_CHAR, 0x17C, "ż"),
        (probe_pb2.VALUE_TYPE_FLOAT, bits("<f", 0.1), 0.1),
        (probe_pb2.VALUE_TYPE_DOUBLE, bits("<d", -2.5), -2.5),
        (probe_pb2.VALUE_TYPE_REFERENCE, 0xFF, "com.acme.Order@ff"),
        (probe_pb2.VALUE_TYPE_REFERENCE, 0, None),
        (99, 5, Missing.UNKNOWN),
    ],
)
def test_each_type(of_type: int, word: int, value: Value) -> None:
    (found,) = values_of(probe(of_type), [word])
    assert found == value
    assert type(found) is type(value) or isinstance(found, ObjectText)


def test_not_a_number() -> None:
    (found,) = values_of(probe(probe_pb2.VALUE_TYPE_DOUBLE), [bits("<d", math.nan)])
    assert isinstance(found, float)
    assert math.isnan(found)


def test_strings_take_their_texts_in_order() -> None:
    words = [string(2), NULL_STRING, string(3, cut=True), 1 << 33]
    found = values_of(probe(STRING, STRING, STRING, STRING), words, "żabc".encode())
    assert found == ["ż", None, "abc", Missing.UNREADABLE]
    assert isinstance(found[2], TruncatedText)
    assert not isinstance(found[0], TruncatedText)
    assert not found[3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("12.5", 12.5),
        ('"x"', "x"),
        ("'c'", "c"),
        ("PAID", "PAID"),
        ("true", True),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_objects(text: str, value: Value) -> None:
    (found,) = values_of(probe(STRING, rendered=True), [string(len(text))], text.encode())
    assert found == value
    assert isinstance(found, ObjectText) == (text in ("PAID", "[1, 2]"))


def test_absent_values_say_why() -> None:
    described = probe(LONG, STRING, LONG, probe_pb2.VALUE_TYPE_ABSENCE)
    found = values_of(described, [0, NULL_STRING, 7, 1 << 0 | 1 << 17])
    assert found == [Missing.ABSENT, Missing.EXCEPTION, 7]
    assert [value.name for value in described.probe.values] == ["v0", "v1", "v2"]


def test_a_capture_with_the_name_of_an_argument_keeps_its_value() -> None:
    values = [probe_pb2.Value(name="sql", type=LONG), probe_pb2.Value(name="sql", type=LONG, path="this.sql")]
    (event,) = events_of(columns_of([1, 2]), {0: DescribedProbe(collector_pb2.Probe(values=values))})
    assert event.values == {"sql": 1, "sql_": 2}


@pytest.mark.parametrize(("length", "problem"), [(4, "shorter than its strings"), (1 << 20, "a value has")])
def test_strings_beyond_the_text_are_malformed(length: int, problem: str) -> None:
    with pytest.raises(MalformedStreamError, match=problem):
        values_of(probe(STRING), [string(length)], b"abc")

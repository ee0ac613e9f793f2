"""Tests the values that jcollect makes of the text of objects."""

from __future__ import annotations

import json

import pytest

from jcollect.layout.record import STRING_WORD_PRESENT
from jcollect.probes.rendered import Char, Rendered, value_of
from jcollect.view.compact_lines import CompactLines
from jcollect.view.json_lines import JsonLines
from jcollect.view.values import _object_text

VALUES = [
    ("42", 42),
    ("-9223372036854775808", -(1 << 63)),
    ("1.5", 1.5),
    ("1.0E300", 1e300),
    ("-0.0", -0.0),
    ("1.10", 1.1),
    ("true", True),
    ("false", False),
    ('"42"', "42"),
    ('""', ""),
    ('"a "b" c"', 'a "b" c'),
    ("'x'", Char("x")),
    ("PAID", Rendered("PAID")),
    ("[1, 2]", Rendered("[1, 2]")),
    ('"id"=42', Rendered('"id"=42')),
    ("com.acme.Order@1f", Rendered("com.acme.Order@1f")),
    # Not the number that a double would be.
    ("0.1000000000000000055511151231257827", Rendered("0.1000000000000000055511151231257827")),
    ("1E+400", Rendered("1E+400")),
    ("1E+99999999", Rendered("1E+99999999")),
    ("9" * 41, Rendered("9" * 41)),
    ("\u0661", Rendered("\u0661")),
    ("", Rendered("")),
    ('"', Rendered('"')),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_text_is_a_value_of_the_type_that_it_shows(text: str, value: object) -> None:
    found = value_of(text)
    assert (type(found), found) == (type(value), value)


def test_numbers_that_are_not_finite_are_floats() -> None:
    assert [repr(value_of(text)) for text in ("NaN", "Infinity", "-Infinity")] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize("text", ["12.50", "0.00", "-1E+5", "1.0E10"])
def test_a_number_keeps_the_digits_of_the_program(text: str) -> None:
    word = STRING_WORD_PRESENT | len(text)
    for in_format in (JsonLines().values, CompactLines().values):
        assert _object_text(in_format, word, text.encode()) == text
    assert json.loads(text) == value_of(text)


def test_a_number_that_json_does_not_know_is_a_string_there() -> None:
    assert value_of("007.5") == Rendered("007.5")

"""Conditions of subscriptions: their grammar, their types, and which events they let pass."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_batches import UNREADABLE, Cut, Event, batch, probe, value
from jcollect.hub.condition import MOST_LENGTH, ConditionError, parse
from jcollect.hub.where import Where

PLACE = probe(
    3,
    value("id", "long", "arg0.id"),
    value("city", "java.lang.String", "arg0.customer.city"),
    value("price", "double"),
    value("rush", "boolean"),
    value("grade", "char"),
    value("state", "com.acme.State"),
    value("note", "java.lang.String"),
    value("size", "uint64"),
    value("ratio", "float"),
    value("absent", "absent"),
)
RIGA = (7, "Riga", 20.5, True, "b", "PAID", "Riga", 5, 0.1, 0)
OSLO = (-1, "Oslo", -3.0, False, "x", "42", None, 2**64 - 1, 2.5, 0)
EVENTS = [Event(PLACE, RIGA, duration=6_000_000), Event(PLACE, OSLO, duration=800, thread=9, tid=42)]


def passing(text: str, events: list[Event]) -> list[bool]:
    """Returns which events pass a condition."""
    where = Where(text)
    where.describe([event.of for event in events])
    where.check()
    return [bool(flag) for flag in where.matches(batch(events))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('duration > 5ms and args[0] == "Riga"', "error"),
        ("duration > 5ms", "10"),
        ("duration >= 0.8us && duration lt 6_000_000ns", "01"),
        ("5ms < duration", "10"),
        ("id > 0", "10"),
        ("id == -1", "01"),
        ("id >= -1", "11"),
        ("id == 7L or id == 0xffff_ffff_ffff_ffff", "11"),
        ("arg0.id == 7", "10"),
        ("arg0.customer.city != 'Riga'", "01"),
        ('city == "Riga"', "10"),
        ('city == "Rigi"', "00"),
        ('city == "R"', "00"),
        ('city == ""', "00"),
        ('city == "\\u0052iga"', "10"),
        ("city == note", "10"),
        ("city != note", "01"),
        ("note == null", "01"),
        ("note != null", "10"),
        ("price > 20", "10"),
        ("price <= 2.05e1", "11"),
        ("price < id", "01"),
        ("ratio == 2.5", "01"),
        ("rush", "10"),
        ("!rush", "01"),
        ("not rush and id < 0", "01"),
        ("rush == false", "01"),
        ("grade == 'b'", "10"),
        ("grade >= 98", "11"),
        ("state == 'PAID'", "10"),
        ("state == 42", "01"),
        ("state > 41.5", "01"),
        ("state != 43", "01"),
        ("size > 5", "01"),
        ("size > -1", "11"),
        ("size == -1", "00"),
        ("thread == 9", "01"),
        ("tid == 42", "01"),
        ("(id > 0 || price < 0) && !(city == 'Oslo')", "10"),
        ("[id > 0]", "10"),
        ("! city == 'Riga'", "01"),
        ("id > 0 or id < 0 and rush", "10"),
    ],
)
def test_a_condition_passes_the_events_for_which_it_holds(text: str, expected: str) -> None:
    if expected == "error":
        with pytest.raises(ConditionError):
            passing(text, EVENTS)
    else:
        assert passing(text, EVENTS) == [flag == "1" for flag in expected]


ABSENT = value("absent", "absent")
CITY = probe(1, value("city", "java.lang.String", "arg0.city"), value("id", "int", "arg0.id"), ABSENT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Events: whole, null in the path of both, an exception in the path of both, unreadable, truncated.
        ("city == 'Riga'", "10000"),
        ("city != 'Riga'", "00001"),
        ("city == null", "01000"),
        ("city != null", "10001"),
        ("id == 0", "00000"),
        ("id != 7", "00000"),
        ("id == 7", "10011"),
        ("not id == 7", "01100"),
    ],
)
def test_a_comparison_with_an_absent_value_is_false(text: str, expected: str) -> None:
    values = [("Riga", 7, 0), (None, 0, 0b11), (None, 0, 0b11 << 16), (UNREADABLE, 7, 0), (Cut("Riga"), 7, 0)]
    assert passing(text, [Event(CITY, each) for each in values]) == [flag == "1" for flag in expected]


def test_arguments_are_numbered_with_and_without_captures() -> None:
    plain = probe(0, value("count", "int"), value("city", "java.lang.String"), value("return", "int"))
    captured = probe(1, value("sum", "int", "arg2"), value("city", "java.lang.String", "arg1"))
    events = [Event(plain, (1, "Riga", 2)), Event(captured, (1, "Riga")), Event(captured, (1, "Oslo"))]
    assert passing('args[1] == "Riga"', events) == [True, True, False]
    assert passing("args[2] == 1", events) == [False, True, True]


def test_probes_with_other_values_are_evaluated_with_their_own_types() -> None:
    number, text = probe(0, value("x", "int")), probe(5, value("y", "int"), value("x", "java.lang.String"))
    without = probe(9)
    events = [Event(number, (4,)), Event(text, (4, "4")), Event(without), Event(number, (5,))]
    assert passing("x == 4", events) == [True, False, False, False]
    assert passing('x == "4"', events) == [False, True, False, False]


def test_the_texts_of_an_event_are_told_apart() -> None:
    three = probe(0, *(value(name, "java.lang.String") for name in "abc"))
    events = [Event(three, ("x", None, "yy")), Event(three, ("", "x", "yy")), Event(three, ("yy", "x", ""))]
    assert passing("c == 'yy'", events) == [True, True, False]
    assert passing("b == 'x'", events) == [False, True, True]
    assert passing("a == c", events) == [False, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected a value, as in arg0 > 5, found the end"),
        ("id >", "column 5: expected a value, as in arg0 > 5, found the end"),
        ("id = 5", "column 4: expected '==' to compare, found a single '='"),
        ("id > 5 & rush", "column 8: expected '&&', found a single '&'"),
        ("id > 5 rush", "column 8: expected an operator, found 'rush'"),
        ("1 < id < 3", "column 8: a comparison has two sides; join two comparisons with &&"),
        ("1 == 1", "column 1: expected a value of the event on one side, as in arg0"),
        ("(id > 5", "column 8: expected ')' or an operator, found the end"),
        ("city == 'Riga", "column 9: this string is not closed, ' is missing"),
        ("city == '\\x'", "column 10: expected one of \\\" \\' \\\\ \\n \\t \\uXXXX"),
        ("city == '\\u12'", "column 10: expected four hexadecimal digits after \\u"),
        ("duration", "column 9: expected a comparison, as in duration > 5ms, found the end"),
        ("duration > 5", "column 12: a duration needs a unit, as in 5ms"),
        ("duration > 5h", "column 13: unknown unit 'h'; expected ns, us, ms, s or min"),
        ("duration > -5ms", "column 12: a duration cannot be negative"),
        ("id > 5ms", "column 6: only duration is compared with a time"),
        ("id > 9223372036854775808", "column 6: the number is too large"),
        ("id", "column 1: 'id' is a whole number, not a boolean; compare it"),
        ("id == 'x'", "column 1: cannot compare 'id', which is a whole number, with 'x' by =="),
        ("city > 'x'", "column 1: cannot compare 'city', which is a string, with 'x' by >"),
        (
            "rush and cty == 'x'",
            "column 10: no probe has a value 'cty'; place__return has duration, id, city, ",
        ),
        (
            "x" * (MOST_LENGTH + 1),
            f"column {MOST_LENGTH + 1}: a condition has at most {MOST_LENGTH} characters",
        ),
        ("!" * 100 + "rush", "column 65: a condition has at most 64 parts"),
    ],
)
def test_an_error_names_the_column(text: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        passing(text, EVENTS)
    assert str(caught.value).startswith(message)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abi d3.5\"'\\u()[]=!<>&|orndtfms_-+x~", max_size=40))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    with contextlib.suppress(ConditionError):
        assert parse(text)

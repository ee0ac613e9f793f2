"""Names and tables fit every width, and class and method can be told at each of them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from test_formats import probe

from jcollect.sources.columns import Columns
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter
from jcollect.view.method_table import SORTS, table_lines
from jcollect.view.shortening import cells, name_in_event, shortened_name
from jcollect.view.summary import MethodSummary, Summary

PLACE = "com.acme.orders.internal.OrderService#placeOrder"
LONG = (
    "io.x.AVeryLongNameOfAClassAsFrameworksGiveThemToTheirInternalImplementations"
    "#aMethodWithALongNameThatSaysAllOfWhatItDoesAndMore"
)
OVERLOAD = "org.h2.jdbc.JdbcStatement#executeUpdate(Ljava/lang/String;)I"


@pytest.mark.parametrize(
    ("name", "most", "shown"),
    [
        (PLACE, 48, PLACE),
        (PLACE, 47, "c.acme.orders.internal.OrderService#placeOrder"),
        (PLACE, 40, "c.a.o.internal.OrderService#placeOrder"),
        (PLACE, 32, "c.a.o.i.OrderService#placeOrder"),
        (PLACE, 20, "Orde…vice#placeOrder"),
        (LONG, 60, "i.x.AVeryLongName…plementations#aMethodWithALo…ItDoesAndMore"),
        (OVERLOAD, 50, "o.h.j.JdbcStatement#executeUpdate(Ljava/l…tring;)I"),
        ("orders:placed", 9, "orde…aced"),
        ("日本.注文の.長い名前のクラス#長いメソッドの名前", 30, "日.注.長い…ラス#長いメ…の名前"),
    ],
)
def test_packages_become_initials_and_class_and_method_lose_their_middle(
    name: str, most: int, shown: str
) -> None:
    assert shortened_name(name, most) == shown
    assert cells(shown) <= most


@pytest.mark.parametrize("name", [PLACE, LONG, OVERLOAD])
def test_both_ends_of_class_and_method_are_legible_at_every_width(name: str) -> None:
    class_name, method = re.split("#", name.rpartition(".")[2].partition("(")[0])
    for most in range(20, len(name)):
        shown = shortened_name(name, most)
        assert len(shown) <= most
        short_class, short_method = shown.rpartition(".")[2].partition("(")[0].split("#")
        for short, whole in ((short_class, class_name), (short_method, method)):
            head, _, tail = short.partition("…")
            assert len(head) >= 2, shown
            assert whole.startswith(head), shown
            assert whole.endswith(tail), shown


def method(name: str, calls: int = 7, pid: int = 4711, nanos: int = 1000) -> MethodSummary:
    return MethodSummary(name, calls, 3, nanos, 2 * nanos, calls * nanos, 5 * nanos, pid)


@pytest.mark.parametrize("pids", [(4711, 4711), (4711, 4712)])
@pytest.mark.parametrize("width", [30, 40, 60, 79, 80, 100, 120, 200])
def test_a_table_shows_numbers_and_names_at_every_width(width: int, pids: tuple[int, int]) -> None:
    methods = [method(LONG, pid=pids[0]), method(PLACE, pid=pids[1])]
    head, *lines = table_lines(methods, 20, width, seconds=1.0, names_pids=len(set(pids)) > 1)
    assert all(len(line) <= width for line in (head, *lines))
    assert head.split()[0] == "CALLS/S"
    assert all(line.split()[0] == "7" for line in lines)
    assert all(re.search(r"(\w…|\w)\w*#\w", line) for line in lines)
    if width >= 60:
        assert {"TOTAL", "P99", "ERRORS", "METHOD"} <= set(head.split())
    if width >= 120:
        assert head.split()[:7] == ["CALLS/S", "TOTAL", "MEAN", "P50", "P99", "MAX", "ERRORS"]
        assert lines[0].split()[:7] == ["7", "7.00us", "1.00us", "1.00us", "2.00us", "5.00us", "3"]


def test_the_column_that_sorts_is_shown_at_every_width() -> None:
    for sort in SORTS.keys() - {"name"}:
        head = table_lines([method(LONG)], 20, 40, sort)[0]
        assert sort.upper() in head, head


def test_a_pipe_gets_whole_names_and_all_columns() -> None:
    head, line = table_lines([method(LONG)], 20, None)
    assert line.endswith(f"  {LONG}")
    assert "MAX" in head


@pytest.mark.parametrize(
    ("sort", "first"),
    [("calls", "often"), ("total", "slow"), ("mean", "slow"), ("p99", "slow"), ("max", "slow"),
     ("errors", "a"), ("name", "a")],
)  # fmt: skip
def test_methods_are_sorted_by_any_column_and_by_name_among_equals(sort: str, first: str) -> None:
    untimed = MethodSummary("x", 2, 0, None, None, None)
    methods = [untimed, method("slow", 5, nanos=9000), method("a", 6), method("often", 100, nanos=1)]
    shown = [line.split()[-1] for line in table_lines(methods, 3, None, sort)[1:]]
    assert shown[0] == first
    assert len(shown) == 3


def test_methods_of_the_same_name_in_two_processes_stay_apart() -> None:
    other = probe(2, number=1)
    other.pid = 4712
    summary = Summary([probe(2), other])
    zeros = np.zeros(3, np.uint64)
    columns = Columns(
        zeros, zeros, np.array([0, 1, 1], np.uint32), zeros.astype(np.uint32), zeros,
        np.array([10, 20, 40], np.uint64), zeros, b"",
    )  # fmt: skip
    summary.add(columns)
    assert summary.has_several_processes
    found = {each.pid: each for each in summary.methods()}
    assert {pid: each.calls for pid, each in found.items()} == {4711: 1, 4712: 2}
    assert {each.name for each in found.values()} == {"com.acme.Orders#place"}
    assert (found[4712].total, found[4712].mean, found[4712].max) == (60, 30, 40)
    assert table_lines(summary.methods(), 9, 60, names_pids=True)[1].split()[-2:] == [
        "4712",
        "com.acme.Orders#place",
    ]


def test_the_name_in_an_event_leaves_room_for_its_numbers() -> None:
    described = probe(2, 9)
    described.class_name = "com.acme.orders.internal.OrderService"
    one = np.ones(1, np.uint64)
    event = Columns(one, one, np.zeros(1, np.uint32), one, one, one, 0 * one, b"")

    def line_of_width(columns: int | None) -> str:
        formatter = LineFormatter(line_format("compact", columns=columns))
        formatter.add([described])
        ((line,),) = formatter.lines(event)
        return line

    assert line_of_width(None).endswith(" 1/1 com.acme.orders.internal.OrderService#place return 1ns null")
    for columns in range(70, 120):
        line = line_of_width(columns)
        assert len(line) <= columns
        assert "OrderService#place return 1ns" in line
    assert name_in_event(PLACE, 10) == shortened_name(PLACE, 24)

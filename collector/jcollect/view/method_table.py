"""The table of methods of `jcollect top`: which columns there are, their order, and their widths.

Numbers come first, so that they are visible at any width. The method's name gets the rest of the line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jcollect.printable import printable
from jcollect.view.formats import duration_text
from jcollect.view.shortening import LEAST_NAME, shortened_name
from jcollect.view.summary import MethodSummary

# Below this width, one blank separates columns instead of two.
_NARROW = 80
# The name gets at least so much before a column is left out, and that much before an optional one is.
_LEAST_NAME = 20
_USUAL_NAME = 40
_NOT_KNOWN = "-"
# Without a terminal.
UNLIMITED = 1 << 20

Sort = Callable[[MethodSummary], float]


def _or_last(value: float | None) -> float:
    return -1.0 if value is None else float(value)


# Keys of --sort. Largest first, except for names.
SORTS: dict[str, Sort] = {
    "calls": lambda method: method.calls,
    "total": lambda method: _or_last(method.total),
    "mean": lambda method: _or_last(method.mean),
    "p50": lambda method: _or_last(method.p50),
    "p99": lambda method: _or_last(method.p99),
    "max": lambda method: _or_last(method.max),
    "errors": lambda method: method.errors,
    "name": lambda method: 0.0,
}


def in_order(methods: Sequence[MethodSummary], sort: str) -> list[MethodSummary]:
    """Returns the methods sorted by a key of SORTS, and by name and PID among equals."""
    key = SORTS[sort]
    return sorted(methods, key=lambda method: (-key(method), method.name, method.pid))


class _Column(NamedTuple):
    """`sort` is the key of SORTS that shows it. `rank` is the order in which columns are left out, the
    highest first; 0 for never."""

    head: str
    sort: str
    rank: int
    text: Callable[[MethodSummary], str]
    width: int = 6


def _columns(seconds: float | None) -> tuple[_Column, ...]:
    """Returns all columns; `seconds` turns calls into calls per second."""
    if seconds is None:
        calls = _Column("CALLS", "calls", 0, lambda method: f"{method.calls:,}", 7)
    else:
        calls = _Column("CALLS/S", "calls", 0, lambda method: f"{method.calls / seconds:,.0f}", 7)
    return (
        calls,
        _Column("TOTAL", "total", 3, lambda method: _latency(method.total)),
        _Column("MEAN", "mean", 6, lambda method: _latency(method.mean)),
        _Column("P50", "p50", 4, lambda method: _latency(method.p50)),
        _Column("P99", "p99", 1, lambda method: _latency(method.p99)),
        _Column("MAX", "max", 5, lambda method: _latency(method.max)),
        _Column("ERRORS", "errors", 2, lambda method: f"{method.errors:,}"),
    )


# Columns of a higher rank are left out rather than shortening a name below the usual width.
_OPTIONAL_RANK = 5


def table_lines(
    methods: Sequence[MethodSummary],
    rows: int,
    width: int | None,
    sort: str = "calls",
    seconds: float | None = None,
    names_pids: bool = False,
) -> list[str]:
    """Returns a head and a line for each of the first `rows` methods, of which none is wider than `width`.

    Calls are per second if `seconds` are given. With `names_pids` there is a column with the PID.
    """
    shown = in_order(methods, sort)[:rows]
    columns = list(_columns(seconds))
    if names_pids:
        columns.append(_Column("PID", "", 0, lambda method: str(method.pid)))
    cells = {each.head: [printable(each.text(method)) for method in shown] for each in columns}
    widths = {each.head: max(each.width, len(each.head), *map(len, cells[each.head]), 0) for each in columns}
    total = UNLIMITED if width is None else width
    gap = "  " if total >= _NARROW else " "
    kept = _fitting(columns, widths, len(gap), total, sort)
    name_width = max(total - sum(widths[each.head] + len(gap) for each in kept), 1)
    lines = [gap.join([*(each.head.rjust(widths[each.head]) for each in kept), "METHOD"])]
    for number, method in enumerate(shown):
        numbers = [cells[each.head][number].rjust(widths[each.head]) for each in kept]
        name = shortened_name(printable(method.name), max(name_width, LEAST_NAME // 2))
        lines.append(gap.join([*numbers, name]))
    return lines


def _fitting(
    columns: Sequence[_Column], widths: dict[str, int], gap: int, total: int, sort: str
) -> list[_Column]:
    """Returns the columns for which there is room beside a legible name. That of `sort` always stays."""
    kept = list(columns)
    for column in sorted(columns, key=lambda each: -each.rank):
        least = _USUAL_NAME if column.rank >= _OPTIONAL_RANK else _LEAST_NAME
        if sum(widths[each.head] + gap for each in kept) + least <= total:
            break
        if column.rank and column.sort != sort:
            kept.remove(column)
    return kept


def _latency(nanos: float | None) -> str:
    return _NOT_KNOWN if nanos is None else duration_text(nanos)

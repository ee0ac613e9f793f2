"""Histograms as tables, as bars of text, and as JSON, for `jcollect hist`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jcollect.exponential_histogram import ERROR_PERCENT, ExponentialHistogram, upper_bound
from jcollect.printable import printable
from jcollect.view.counted_methods import CountedMethod
from jcollect.view.formats import duration_text
from jcollect.view.shortening import LEAST_NAME, shortened_name

PERCENTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
_HEADS = ("CALLS", "MEAN", "P50", "P90", "P99", "P99.9", "MAX", "ERRORS")
# Keys of the percentiles in JSON.
_KEYS = ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")
_LEAST_WIDTH = 6
# Bars get at most so many lines, by joining neighbors.
_MOST_BARS = 24
_BAR = 40

_ERROR = f"percentiles and MAX: at most {ERROR_PERCENT}% too high or too low"


def error_line(throttled: str) -> str:
    """Returns how exact the numbers of a table are. `throttled` says which calls are not counted; empty for
    none."""
    if throttled:
        return f"{_ERROR}; CALLS, ERRORS and MEAN leave out throttled calls: {throttled}"
    return f"{_ERROR}; CALLS, ERRORS and MEAN are exact"


def histogram_table(
    methods: Sequence[CountedMethod], width: int | None, names_pids: bool = False
) -> list[str]:
    """Returns a head and a line for each method, none wider than `width`, unless the numbers alone are. With
    `names_pids` there is a column with the PID."""
    heads = [*_HEADS, *(["PID"] if names_pids else [])]
    rows = [_cells(method, names_pids) for method in methods]
    widths = [
        max(_LEAST_WIDTH, len(head), *(len(row[number]) for row in rows), 0)
        for number, head in enumerate(heads)
    ]
    room = max(LEAST_NAME, width - sum(widths) - 2 * len(widths)) if width is not None else None
    lines = ["  ".join([*(head.rjust(size) for head, size in zip(heads, widths, strict=True)), "METHOD"])]
    for method, row in zip(methods, rows, strict=True):
        name = printable(method.name)
        cells = [cell.rjust(size) for cell, size in zip(row, widths, strict=True)]
        lines.append("  ".join([*cells, name if room is None else shortened_name(name, room)]))
    return lines


def bars(calls: ExponentialHistogram) -> list[str]:
    """Returns a line for each range of durations from the shortest call to the longest one, with the number
    of calls and a bar. Each upper bound is the same multiple of the lower one."""
    while len(calls.counts) > _MOST_BARS:
        calls = calls.coarser(calls.scale - 1)
    rows = [("0ns", calls.zero)] if calls.zero else []
    for bucket, count in enumerate(calls.counts.tolist(), calls.offset):
        lower, upper = upper_bound(bucket - 1, calls.scale) + 1, upper_bound(bucket, calls.scale)
        if lower <= upper or count:
            rows.append((_range_text(min(lower, upper), upper), count))
    if not rows:
        return []
    most = max(count for _, count in rows)
    left, middle = (
        max(len(text) for text in texts) for texts in zip(*((a, f"{b:,}") for a, b in rows), strict=True)
    )
    # A range with any call has a visible bar.
    return [
        f"{text.rjust(left)}  {f'{count:,}'.rjust(middle)}  {'@' * -(-_BAR * count // most)}".rstrip()
        for text, count in rows
    ]


def json_line(
    method: CountedMethod, start_unix_ns: int, end_unix_ns: int, quotes_64_bits: bool
) -> dict[str, Any]:
    """Returns the calls of a method between two times as a JSON object."""
    calls, probe = method.calls, method.probe

    def number(value: int) -> int | str:
        return str(value) if quotes_64_bits else value

    longest = method.percentiles(PERCENTILES)
    return {
        "start_unix_ns": number(start_unix_ns),
        "end_unix_ns": number(end_unix_ns),
        "pid": probe.pid,
        "class": probe.class_name,
        "method": probe.method,
        "descriptor": probe.method_descriptor,
        "calls": number(calls.count),
        "errors": number(method.errors),
        "throttled": number(method.throttled),
        "throttled_ns": number(method.throttled_ns),
        "sum_ns": number(calls.total),
        **{key: number(round(bounds.value)) for key, bounds in zip(_KEYS, longest, strict=True)},
        "error_percent": ERROR_PERCENT,
        "scale": calls.scale,
        "zero_count": number(calls.zero),
        "offset": calls.offset,
        "bucket_counts": [number(count) for count in calls.counts.tolist()],
    }


def _cells(method: CountedMethod, names_pids: bool) -> list[str]:
    calls = method.calls
    return [
        f"{calls.count:,}",
        duration_text(calls.mean),
        *(duration_text(bounds.value) for bounds in method.percentiles(PERCENTILES)),
        f"{method.errors:,}",
        *([str(method.probe.pid)] if names_pids else []),
    ]


def _range_text(lower: int, upper: int) -> str:
    if lower == upper:
        return duration_text(upper)
    return f"{duration_text(lower)} to {duration_text(upper)}"

"""Reads two recordings, or parts of them, and prints how their calls differ, for `jcollect diff`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from jcollect.cli.output import echo
from jcollect.cli.recorded_interval import RecordedInterval
from jcollect.console import plural, warn
from jcollect.errors import JcollectError
from jcollect.hub.items import Loss, Schema
from jcollect.printable import json_text, printable
from jcollect.recordings.chosen import Chosen
from jcollect.recordings.reader import Recording
from jcollect.sources.columns import Batch
from jcollect.view.comparison import Calls, Compared, Quantity, compare, quantity_json
from jcollect.view.formats import duration_text

_NOT_KNOWN = "-"
_NAMES = {"error_rate": "errors"}


@dataclass(frozen=True)
class DiffOptions:
    """Prints at most `rows` methods. `confidence` is that of each interval, as a share."""

    rows: int
    confidence: float
    as_json: bool


def print_comparison(
    a: RecordedInterval, b: RecordedInterval, globs: Sequence[str], options: DiffOptions
) -> None:
    """Raises JcollectError."""
    calls = (_read(a, globs), _read(b, globs))
    found = compare(*calls, options.confidence)
    if options.as_json:
        for method in found:
            click.echo(json_text(_json(method)))
        return
    for name, source, each in zip("AB", (a, b), calls, strict=True):
        count = plural(sum(each.counts.values()), "call")
        echo(f"{name}: {source}, {each.seconds:.1f} s, {count}")
    percent = f"{options.confidence:.4g}".removeprefix("0.").ljust(2, "0")
    for method in found[: options.rows]:
        click.echo("")
        for line in _block(method, percent):
            click.echo(line)
    if len(found) > options.rows:
        click.echo(f"\nand {plural(len(found) - options.rows, 'method')} more")


def _read(interval: RecordedInterval, globs: Sequence[str]) -> Calls:
    recording, chosen, calls = Recording([interval.path]), Chosen(globs), Calls()
    lost: dict[int, int] = {}
    first = last = 0
    times: tuple[int, int] | None = None
    for found in recording.items():
        item = chosen.part(found)
        if isinstance(item, Schema):
            calls.describe(item.probes)
        elif isinstance(item, Batch) and len(item):
            if times is None:
                first = int(item.columns.time_unix_nanos.min())
                times = interval.within(first)
            calls.add(item.columns, *times)
            last = max(last, int(item.columns.time_unix_nanos.max()))
        elif isinstance(item, Loss):
            lost[item.stage] = item.events
    chosen.check_matched(interval.path)
    for line in recording.warnings:
        warn(line)
    if sum(lost.values()):
        warn(f"{interval.path} lacks {plural(sum(lost.values()), 'event')} that were lost: rates are too low")
    if times is not None:
        calls.lasted(max(times[0], first), min(times[1], last))
    if not calls.counts:
        raise JcollectError(f"cannot compare {interval}: no call ended in it; give another time or --probe")
    return calls


def _block(method: Compared, percent: str) -> Iterator[str]:
    yield printable(method.name)
    yield f"  {'':<7}{'A':>10}{'B':>10}  {'CHANGE':>8}  {percent}% INTERVAL"
    yield f"  {'calls':<7}{method.calls[0]:>10,}{method.calls[1]:>10,}"
    for each in method.quantities:
        values = f"{_value(each.a, each.unit):>10}{_value(each.b, each.unit):>10}"
        yield f"  {_NAMES.get(each.name, each.name):<7}{values}  {_change(each)}"
    sign = "+" if method.total >= 0 else "-"
    yield f"  {sign}{duration_text(abs(method.total))} per second in total"


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return _NOT_KNOWN
    if unit == "ns":
        return duration_text(value)
    return f"{value:,.1f}/s" if unit else f"{100 * value:.3g}%"


def _change(each: Quantity) -> str:
    change = each.change
    if change is None:
        return f"{_NOT_KNOWN:>8}"
    if change.low is None or change.high is None:
        return f"{_text(change.value, each):>8}  not known: too few calls"
    interval = f"{_text(change.low, each)} to {_text(change.high, each)}"
    verdict = "" if each.is_different else "  no difference"
    return f"{_text(change.value, each):>8}  {interval}{verdict}"


def _text(value: float, each: Quantity) -> str:
    """Returns a factor as a percentage, or as "x 3.2" if it is large; a difference of shares in points."""
    if not each.unit:
        return f"{100 * value:+.3g} points"
    if value >= 3:
        return f"x {value:,.3g}"
    return f"{100 * (value - 1):+.1f}%"


def _json(method: Compared) -> dict[str, object]:
    return {
        "method": method.name,
        "calls_a": method.calls[0],
        "calls_b": method.calls[1],
        "errors_a": method.errors[0],
        "errors_b": method.errors[1],
        "total_change_ns_per_second": method.total,
        **{each.name: quantity_json(each) for each in method.quantities},
    }

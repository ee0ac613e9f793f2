"""jcollect diff: compares two recordings, or two parts of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from jcollect.cli.argument_types import WholeNumber
from jcollect.cli.comparison_report import DiffOptions, print_comparison
from jcollect.cli.options import probe_option
from jcollect.cli.recorded_interval import recorded_interval

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # Generic since click 8.4.

_PERCENT = re.compile(r"[0-9]{1,2}(\.[0-9]{1,4})?", re.ASCII)


class _Percent(_Type):
    """A percentage as a share."""

    name = "percent"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        percent = float(str(value)) if _PERCENT.fullmatch(str(value)) else 0.0
        if not 50 <= percent <= 99.9999:
            self.fail(f"'{value}' is not a percentage from 50 to 99.9999", param, ctx)
        return percent / 100


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@probe_option
@click.option(
    "--rows", type=WholeNumber(), default=10, show_default=True, metavar="N", help="Print N methods."
)
@click.option(
    "--confidence",
    type=_Percent(),
    default="95",
    show_default=True,
    metavar="PERCENT",
    help="Confidence of each interval.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each method as a line of JSON.")
def diff(a: str, b: str, globs: tuple[str, ...], rows: int, confidence: float, as_json: bool) -> None:
    """Compare the calls of two recordings by method: rates, durations and errors, with confidence intervals.
    The method whose total time has changed most comes first.

    A and B are FILE, or FILE@FROM..TO for a part of it. FROM and TO are times of day in UTC such as 10:05 or
    10:05:30, times after the begin such as +90s, or dates; either can be missing.
    """
    print_comparison(
        recorded_interval(a), recorded_interval(b), globs, DiffOptions(rows, confidence, as_json)
    )

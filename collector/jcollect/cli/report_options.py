"""The options that `tree`, `slow` and `exceptions` share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from jcollect.cli.access_options import client_access_options
from jcollect.cli.options import (
    duration_option,
    fail_on_loss_option,
    max_events_option,
    max_overhead_option,
    probe_option,
    select_option,
)
from jcollect.cli.report_source import ReportOptions
from jcollect.cli.tracing_options import own_lane_option

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # Generic since click 8.4.

_Command = TypeVar("_Command", bound=Callable[..., Any])

_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|ms|s|min)", re.ASCII)
_NANOS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
_MOST_NANOS = 1 << 62


class Time(_Type):
    """A time with a unit, as in selectors, in ns."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _TIME.fullmatch(str(value))
        nanos = float(found[1]) * _NANOS[found[2]] if found else 0.0
        if not 1 <= nanos < _MOST_NANOS:
            self.fail(f"'{value}' is not a time such as 800ns, 20us, 1.5ms, 2s or 1min", param, ctx)
        return round(nanos)


def report_options(command: _Command) -> _Command:
    """Adds the options, which the command gets as `options`, and the argument `sources`."""

    @functools.wraps(command)
    def with_options(
        *args: Any,
        access: Any,
        selectors: tuple[str, ...],
        max_overhead: int | None,
        lane: str | None,
        globs: tuple[str, ...],
        duration: float | None,
        max_events: int | None,
        fail_on_loss: bool,
        **others: Any,
    ) -> Any:
        options = ReportOptions(
            access, selectors, max_overhead, lane, globs, duration, max_events, fail_on_loss
        )
        return command(*args, options=options, **others)

    found: Any = with_options
    for option in (
        fail_on_loss_option,
        max_events_option,
        duration_option,
        probe_option,
        own_lane_option,
        max_overhead_option,
        select_option,
        client_access_options,
    ):
        found = option(found)
    found = click.argument("sources", nargs=-1, required=True, metavar="ADDRESS|PID|FILE...")(found)
    return cast(_Command, found)

"""Options of recordings: where they go, and when a file ends."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jcollect.cli.argument_types import MOST_SECONDS, Size, WholeNumber
from jcollect.errors import JcollectError

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # Generic since click 8.4.

_Command = TypeVar("_Command", bound=Callable[..., Any])

_FACTOR = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)
_LEAST_SPEED, _MOST_SPEED = 0.001, 1e6
_PERIOD = re.compile(r"([0-9]{1,9})(s|min|m|h|d)?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


class Period(_Type):
    """A time in s, or with a unit: 90s, 10m, 1h, 1d."""

    name = "period"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = _PERIOD.fullmatch(str(value))
        seconds = int(found[1]) * _SECONDS[found[2] or "s"] if found else 0
        if not 0 < seconds <= MOST_SECONDS:
            self.fail(f"'{value}' is not a time such as 90s, 10m, 1h or 1d", param, ctx)
        return float(seconds)


class Speed(_Type):
    """A factor such as 1, 0.5 or 10, or "max", which stays text."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        text = str(value)
        if text == "max":
            return text
        speed = float(text) if _FACTOR.fullmatch(text) else 0.0
        if not _LEAST_SPEED <= speed <= _MOST_SPEED:
            self.fail(f"'{text}' is not a speed: a number from 0.001 to 1,000,000, or max", param, ctx)
        return speed


def files_argument(command: _Command) -> _Command:
    return click.argument("files", nargs=-1, required=True, metavar="FILE...")(command)


_OPTIONS = (
    click.option(
        "-w",
        "--write",
        "path",
        type=click.Path(dir_okay=False),
        required=True,
        metavar="FILE",
        help="Write the recording to FILE, which only its owner can read. With --rotate-*, to FILE with the "
        "number of the file before its suffix.",
    ),
    click.option("--force", is_flag=True, help="Replace FILE if it is a recording."),
    click.option(
        "--rotate-size", type=Size(), metavar="SIZE", help="Begin another file at this size, such as 1GiB."
    ),
    click.option(
        "--rotate-every",
        type=Period(),
        metavar="TIME",
        help="Begin another file after this time, such as 1h.",
    ),
    click.option(
        "--keep",
        type=WholeNumber(),
        metavar="N",
        help="Keep the last N files of the rotation, and remove those before.",
    ),
)


def recording_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_can_create(path: str, force: bool, is_rotating: bool) -> None:
    """Raises JcollectError if the file of a recording exists, before anything is attached to. What creates it
    checks again."""
    if not path:
        raise click.UsageError("-w needs the path of a file")
    if not force and not is_rotating and os.path.lexists(path):
        raise JcollectError(
            f"cannot create {path}: it exists; give another path, or --force to replace a recording"
        )

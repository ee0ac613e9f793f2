"""The options of the flight recorder: `--last 10s --on exception`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from jcollect.cli.argument_types import TEXT
from jcollect.errors import InvalidCommandError
from jcollect.session.options import KERNEL
from jcollect.sources.recorder import Recorder

_Command = TypeVar("_Command", bound=Callable[..., Any])

_NANOS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = r"(?P<number>\d{1,9}(\.\d{1,9})?) ?(?P<unit>ns|us|ms|s)"
_DURATION = re.compile(rf"duration ?> ?{_TIME}")
_OTHER_COMPARISON = re.compile(r"duration ?(<|>=|=|!=)")
_LAST = re.compile(_TIME)
# A ring buffer holds no more than some seconds of a busy program anyway.
_MOST_LAST_NS = 3600 * _NANOS["s"]

_OPTIONS = (
    click.option(
        "--last",
        type=TEXT,
        metavar="TIME",
        help="Be a flight recorder: read nothing until a trigger, then deliver the events of the TIME before "
        "it, as in --last 10s, as far as the program's ring buffer holds them.",
    ),
    click.option(
        "--on",
        "triggers",
        type=TEXT,
        multiple=True,
        metavar="TRIGGER",
        help="With --last: 'exception', 'duration > 200ms', or 'exit', which includes a crash. Repeatable.",
    ),
)


def recorder_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def recorder_of(last: str | None, triggers: Sequence[str], lane: str) -> Recorder | None:
    """Returns the recorder that the options describe; None without --last. Raises InvalidCommandError."""
    if last is None:
        if triggers:
            raise click.UsageError("--on needs --last TIME, as in --last 10s")
        return None
    if not triggers:
        raise click.UsageError(
            "--last needs a trigger: exception, 'duration > 200ms' or exit, as in --on exit"
        )
    if lane == KERNEL:
        raise click.UsageError("--last records in the direct lane; omit --lane kernel")
    last_ns = _nanos(_LAST.fullmatch(last.strip()))
    if not 0 < last_ns <= _MOST_LAST_NS:
        raise InvalidCommandError(f"--last '{last}' is no time of at most an hour, as in 10s or 500ms")
    durations = []
    for trigger in triggers:
        if trigger in ("exception", "exit"):
            continue
        nanos = _nanos(_DURATION.fullmatch(trigger.strip()))
        if not nanos and _OTHER_COMPARISON.match(trigger.strip()):
            raise InvalidCommandError(
                f"--on '{trigger}' is no trigger: a duration can only be compared with >, as in "
                "'duration > 200ms'"
            )
        if not nanos:
            raise InvalidCommandError(
                f"--on '{trigger}' is no trigger: use exception, exit, or a time, as in 'duration > 200ms'"
            )
        durations.append(nanos)
    return Recorder(last_ns, "exception" in triggers, min(durations, default=0), "exit" in triggers)


def _nanos(found: re.Match[str] | None) -> int:
    return round(float(found["number"]) * _NANOS[found["unit"]]) if found else 0

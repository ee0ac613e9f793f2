"""Options that several verbs share, and the status lines they write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jcollect.console import plural
from jcollect.errors import LOSS_EXIT_CODE, JcollectError

_Command = TypeVar("_Command", bound=Callable[..., Any])


def pid_argument(command: _Command) -> _Command:
    return click.argument("pid", type=click.IntRange(min=1), metavar="PID")(command)


def address_argument(command: _Command) -> _Command:
    return click.argument("address", metavar="ADDRESS|PID")(command)


def probe_option(command: _Command) -> _Command:
    return click.option(
        "--probe",
        "globs",
        multiple=True,
        metavar="GLOB",
        help="Only probes that match: provider:name, class, method or class#method, with * ? []. Repeatable.",
    )(command)


def select_option(command: _Command) -> _Command:
    return click.option(
        "--select",
        "selectors",
        multiple=True,
        metavar="SELECTOR",
        help="Give probes to these methods for as long as this lasts, loading the agent into the JVM if it "
        "has none; attach to them alone. As in the agent's option probes=. Repeatable.",
    )(command)


def duration_option(command: _Command) -> _Command:
    return click.option(
        "--duration",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="End after so many seconds.",
    )(command)


def max_events_option(command: _Command) -> _Command:
    return click.option(
        "--max-events", type=click.IntRange(min=1), metavar="N", help="End after so many events."
    )(command)


def fail_on_loss_option(command: _Command) -> _Command:
    return click.option(
        "--fail-on-loss", is_flag=True, help="End with exit code 3 if any event was lost, at whatever stage."
    )(command)


def check_no_loss(lost: int) -> None:
    """What --fail-on-loss is about. Raises JcollectError."""
    if lost:
        raise JcollectError(f"{plural(lost, 'event')} lost, and --fail-on-loss is given", LOSS_EXIT_CODE)

"""Arguments and options that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from jcollect.cli.argument_types import TEXT, Pid, Seconds, WholeNumber
from jcollect.cli.output import Json
from jcollect.console import plural
from jcollect.errors import LOSS_EXIT_CODE, InvalidCommandError, JcollectError

# The limit of the agent (Options.java), which is more than any machine has cores.
_MOST_PERCENT = 100_000

_Command = TypeVar("_Command", bound=Callable[..., Any])


def pid_argument(command: _Command) -> _Command:
    return click.argument("pid", type=Pid(), metavar="PID")(command)


def address_argument(command: _Command) -> _Command:
    return click.argument("address", metavar="ADDRESS|PID")(command)


def probe_option(command: _Command) -> _Command:
    return click.option(
        "--probe",
        "globs",
        type=TEXT,
        multiple=True,
        metavar="GLOB",
        help="Use only probes that match GLOB: provider:name, class, method or class#method, with * ? []. "
        "Repeatable.",
    )(command)


def select_option(command: _Command) -> _Command:
    return click.option(
        "--select",
        "selectors",
        type=TEXT,
        multiple=True,
        metavar="SELECTOR",
        help="Select these methods until jcollect exits, and attach only to their probes. Loads the agent if "
        "the JVM has none. Syntax as in the agent option probes=. Repeatable.",
    )(command)


def duration_option(command: _Command) -> _Command:
    return click.option(
        "--duration",
        type=Seconds(),
        metavar="SECONDS",
        help="End after SECONDS seconds.",
    )(command)


def max_events_option(command: _Command) -> _Command:
    return click.option("--max-events", type=WholeNumber(), metavar="N", help="End after N events.")(command)


def max_overhead_option(command: _Command) -> _Command:
    return click.option(
        "--max-overhead",
        type=WholeNumber(least=0, most=_MOST_PERCENT),
        metavar="PERCENT",
        help="Limit the cost of all probes in a JVM to PERCENT of one core, over any five seconds, by "
        "throttling the most expensive methods. Values up to 50 never allow more than a third of the CPU "
        "time that the JVM gets. 0: no limit. Default: the agent's max-overhead, or 50.",
    )(command)


def fail_on_loss_option(command: _Command) -> _Command:
    return click.option(
        "--fail-on-loss", is_flag=True, help="Exit with code 3 if any event was lost, at any stage."
    )(command)


def check_no_loss(lost: int) -> None:
    """Raises JcollectError if any event was lost."""
    if lost:
        raise JcollectError(f"{plural(lost, 'event')} lost, and --fail-on-loss is given", LOSS_EXIT_CODE)


def json_option(command: _Command) -> _Command:
    """Adds --json and --json-strings. The command's `as_json` is how it prints JSON; None without either."""

    @functools.wraps(command)
    def with_json(*args: Any, as_json: bool, json_strings: bool, **options: Any) -> Any:
        json = Json(json_strings) if as_json or json_strings else None
        return command(*args, as_json=json, **options)

    for name, parameter, text in (
        ("--json-strings", "json_strings", "As --json, with 64-bit numbers as strings."),
        ("--json", "as_json", "Print everything as JSON."),
    ):
        with_json = click.option(name, parameter, is_flag=True, help=text)(with_json)
    return cast(_Command, with_json)


def json_strings_option(command: _Command) -> _Command:
    return click.option(
        "--json-strings",
        is_flag=True,
        help="Write 64-bit numbers in JSON as strings.",
    )(command)


def check_json_strings(json_strings: bool, output: str | None, counts: str | None = None) -> None:
    """Raises InvalidCommandError if no JSON is printed that the option could change."""
    if json_strings and output != "json" and counts is None:
        raise InvalidCommandError("--json-strings changes JSON, and none is printed; add -o json")


def all_option(command: _Command) -> _Command:
    return click.option(
        "--all", "everything", is_flag=True, help="List all methods, not only the first few."
    )(command)

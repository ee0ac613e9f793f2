"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jcollect.cli.argument_types import TEXT, Pid, Seconds, WholeNumber
from jcollect.console import plural
from jcollect.errors import LOSS_EXIT_CODE, JcollectError

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
    return click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")(command)


def all_option(command: _Command) -> _Command:
    return click.option(
        "--all", "everything", is_flag=True, help="List all methods, not only the first few."
    )(command)

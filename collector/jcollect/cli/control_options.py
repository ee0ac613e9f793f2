"""Options of the verbs that send commands to the agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jcollect.cli.argument_types import Seconds
from jcollect.control.gateway import ANSWER_SECONDS

_Command = TypeVar("_Command", bound=Callable[..., Any])


def no_load_option(command: _Command) -> _Command:
    return click.option(
        "--no-load",
        is_flag=True,
        help="Do not use the JVM's attach mechanism: fail unless an agent has its control gateway open.",
    )(command)


def timeout_option(command: _Command) -> _Command:
    return click.option(
        "--timeout",
        "seconds",
        type=Seconds(),
        default=ANSWER_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="Wait at most SECONDS for the JVM to load the agent, and for the agent to answer.",
    )(command)

"""The options of a stream of events: which events, and from when on."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, cast

import click

from jcollect.cli.argument_types import TEXT, WholeNumber
from jcollect.errors import InvalidCommandError
from jcollect.hub.condition import ConditionError, parse
from jcollect.hub.cursor import Last, OnOverflow, Since
from jcollect.hub.stream_options import StreamOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])
_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_POLICIES = {policy.name.lower().replace("_", "-"): policy for policy in OnOverflow}

_OPTIONS = (
    click.option(
        "--deny",
        type=TEXT,
        multiple=True,
        metavar="GLOB",
        help="Leave out probes that match GLOB, although --probe matches. Repeatable.",
    ),
    click.option(
        "--where",
        type=TEXT,
        metavar="CONDITION",
        help="Only events for which CONDITION holds, as in 'duration > 5ms and args[0] == \"Riga\"'.",
    ),
    click.option(
        "--sample-every", type=WholeNumber(), default=1, metavar="N", help="Only one in N events of a probe."
    ),
    click.option("--max-rate", type=WholeNumber(), metavar="N", help="At most N events per second."),
    click.option(
        "--last", type=WholeNumber(), metavar="N", help="Begin with the last N events of the history."
    ),
    click.option(
        "--since",
        type=TEXT,
        metavar="TIME",
        help="Begin with the history since TIME: 30s, 5min, 2h for that long ago, or 2026-11-30T12:00:00Z.",
    ),
    click.option(
        "--no-follow",
        is_flag=True,
        help="End after the history: of --last or --since, or all that the collector holds.",
    ),
    click.option(
        "--on-overflow",
        type=click.Choice(list(_POLICIES)),
        default="drop-newest",
        show_default=True,
        help="What the collector does if this command reads too slowly.",
    ),
)


def stream_options(command: _Command) -> _Command:
    """Adds the options. The command's `stream` are what they say."""

    @functools.wraps(command)
    def with_stream(
        *args: Any,
        deny: tuple[str, ...],
        where: str | None,
        sample_every: int,
        max_rate: int | None,
        last: int | None,
        since: str | None,
        no_follow: bool,
        on_overflow: str,
        **options: Any,
    ) -> Any:
        if last is not None and since is not None:
            raise click.UsageError("--last and --since are two begins; use one of them")
        if where is not None:
            _check_condition(where)
        begin = Last(last) if last is not None else None
        stream = StreamOptions(
            deny=deny,
            where=where or "",
            sample_every=sample_every,
            max_rate=max_rate or 0,
            begin=begin if since is None else Since(_unix_nanos(since)),
            only_history=no_follow,
            on_overflow=_POLICIES[on_overflow],
        )
        return command(*args, stream=stream, **options)

    for option in reversed(_OPTIONS):
        with_stream = option(with_stream)
    return cast(_Command, with_stream)


def check_begins_now(stream: StreamOptions) -> None:
    """Raises UsageError for options that need a collector that runs already."""
    if stream.has_history:
        raise click.UsageError("--last, --since and --no-follow need a collector that runs already")


def _check_condition(where: str) -> None:
    try:
        parse(where)
    except ConditionError as error:
        raise InvalidCommandError(f"--where '{where}', {error}") from None


def _unix_nanos(text: str) -> int:
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return max(0, time.time_ns() - int(float(ago[1]) * _SECONDS[ago[2]] * 1e9))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidCommandError(
            f"--since '{text}' is not a time; write how long ago, as in 30s, 5min or 2h, or a time as in "
            "2026-11-30T12:00:00Z"
        ) from None
    return max(0, int(moment.timestamp() * 1e9))

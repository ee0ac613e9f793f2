"""The options that keep secrets out of events: `--redact`, `--redact-type`, `--redact-secrets`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from jcollect.cli.argument_types import TEXT
from jcollect.errors import InvalidCommandError
from jcollect.hub.redaction_rules import RedactionRules

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PRIMITIVES = frozenset({"boolean", "byte", "short", "char", "int", "long", "float", "double"})

_OPTIONS = (
    click.option(
        "--redact",
        type=TEXT,
        multiple=True,
        metavar="REGEX",
        help="Replace what REGEX (RE2) matches in captured strings by ***, before any client, file or "
        "terminal gets it. Repeatable.",
    ),
    click.option(
        "--redact-type",
        type=TEXT,
        multiple=True,
        metavar="GLOB",
        help="Replace captured strings and objects whose declared Java type matches, as in "
        "'com.acme.Card'. Repeatable.",
    ),
    click.option(
        "--redact-secrets",
        is_flag=True,
        help="Replace what looks like a secret: passwords, tokens, keys, numbers of payment cards.",
    ),
)


def redaction_options(command: _Command) -> _Command:
    """Adds the options. The command's `redaction` are what they say."""

    @functools.wraps(command)
    def with_redaction(
        *args: Any,
        redact: tuple[str, ...],
        redact_type: tuple[str, ...],
        redact_secrets: bool,
        **options: Any,
    ) -> Any:
        for glob in redact_type:
            if glob in _PRIMITIVES:
                raise InvalidCommandError(
                    f"cannot redact values of type {glob}: only strings and objects are replaced; leave the "
                    "value out of the selector's captures"
                )
        rules = RedactionRules(redact, redact_type, redact_secrets)
        if rules:
            from jcollect.hub.redaction import Redaction

            # Reports a malformed expression before anything is done.
            Redaction(rules)
        return command(*args, redaction=rules, **options)

    for option in reversed(_OPTIONS):
        with_redaction = option(with_redaction)
    return cast(_Command, with_redaction)

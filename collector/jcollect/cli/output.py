"""Prints lines and JSON to stdout."""

from __future__ import annotations

import math
from typing import Any

import click
from google.protobuf.message import Message

from jcollect.printable import json_text, printable


def echo(line: str) -> None:
    """Prints a line, escaped, because it may contain text from a target."""
    click.echo(printable(line))


def echo_json(value: object) -> None:
    click.echo(json_bytes(value))


def json_bytes(value: object) -> bytes:
    return json_text(value, indent=2).encode()


# Clients join the pages of an answer before they print it.
_OF_PAGES = "next_page_token"


def as_dict(message: Message) -> dict[str, Any]:
    """Returns all fields of a message, named as in the .proto, with 64-bit numbers as numbers."""
    names = (field.name for field in message.DESCRIPTOR.fields)
    return {name: _plain(getattr(message, name)) for name in names if name != _OF_PAGES}


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return as_dict(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no infinity and no NaN.
    if isinstance(value, (str, int, float)):
        return value
    return [_plain(each) for each in value]

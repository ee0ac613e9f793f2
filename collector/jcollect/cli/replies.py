"""What the verbs that command the agent share: options, and how they print a reply."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from google.protobuf.message import Message

from jcollect.console import plural
from jcollect.control.gateway import ANSWER_SECONDS
from jcollect.printable import json_text, printable
from jcollect.view.formats import gate_text
from jprobe.v1 import control_pb2, manifest_pb2

_FEW = 5

_Command = TypeVar("_Command", bound=Callable[..., Any])


def no_load_option(command: _Command) -> _Command:
    return click.option(
        "--no-load",
        is_flag=True,
        help="Leave the JVM's attach mechanism alone: fail where no agent has its gateway on.",
    )(command)


def timeout_option(command: _Command) -> _Command:
    return click.option(
        "--timeout",
        "seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=ANSWER_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long the JVM may take to load the agent, and the agent to answer.",
    )(command)


def json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")(command)


def all_option(command: _Command) -> _Command:
    return click.option(
        "--all", "everything", is_flag=True, help="Every method that there is to name, not the first few."
    )(command)


def echo_json(value: object) -> None:
    click.echo(json_bytes(value))


def json_bytes(value: object) -> bytes:
    return json_text(value, indent=2).encode()


def as_dict(message: Message) -> dict[str, Any]:
    """A message with all its fields, named as in the .proto, and 64-bit numbers as numbers."""
    return {field.name: _plain(getattr(message, field.name)) for field in message.DESCRIPTOR.fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return as_dict(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no infinity and no NaN.
    if isinstance(value, (str, int, float)):
        return value
    return [_plain(each) for each in value]


def echo(line: str) -> None:
    """A line on stdout; names of the traced process may be in it."""
    click.echo(printable(line))


def totals(reply: control_pb2.ControlReply) -> str:
    return f"{plural(reply.traced_methods, 'method')} with {plural(reply.traced_probes, 'probe')}"


def echo_selections(selections: Iterable[control_pb2.Selection]) -> None:
    for selection in selections:
        if is_exclusion(selection):
            matched = "left out"
        else:
            matched = plural(selection.methods, "method") if selection.methods else "nothing so far"
        leased = ", for as long as a client stays connected" if selection.leased else ""
        echo(f"  {selection.selector}: {matched}{leased}")


def is_exclusion(selection: control_pb2.Selection) -> bool:
    """Whether it takes methods away from those that were selected before."""
    return selection.selector.startswith("!")


def echo_failed(failed: Sequence[manifest_pb2.Untraceable], everything: bool) -> None:
    """What cannot be traced, each with its reason: the first few, or all."""
    if not failed:
        return
    echo(f"cannot trace {len(failed):,} of what matches:")
    _echo_few([f"{_name_of(each)}: {each.reason}" for each in failed], everything)


def echo_gates(reply: control_pb2.ControlReply, everything: bool) -> None:
    """Which calls of which methods fire, of the methods whose gates were set: the first few, or all."""
    lines = [
        f"{_name_of(method)}: {gate_words(gate)}"
        for method, gate in zip(reply.methods, reply.gates, strict=False)
    ]
    _echo_few(lines, everything)


def gate_words(gate: control_pb2.GateSettings) -> str:
    return gate_text(gate.least_duration_nanos, gate.every, gate.per_second) or "every call"


def _echo_few(lines: Sequence[str], everything: bool) -> None:
    for line in lines if everything else lines[:_FEW]:
        echo(f"  {line}")
    if not everything and len(lines) > _FEW:
        echo(f"  and {len(lines) - _FEW:,} more; --all lists them")


def _name_of(method: manifest_pb2.TracedMethod | manifest_pb2.Untraceable) -> str:
    if not method.method:
        return method.class_name
    return f"{method.class_name}#{method.method}{method.descriptor}"

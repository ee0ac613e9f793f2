"""The commands of a collector's clients to the agents of its processes, and their execution.

They do what jcollect select, unselect and set do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jcollect.control.gateway import Gateway
from jcollect.control.limits import Limits
from jcollect.control.methods import methods_of
from jcollect.control.remarks import remarks
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jprobe.v1 import control_pb2


@dataclass(frozen=True)
class Select:
    """Gives probes to the methods that selectors match; until they are unselected if `keep`, else until the
    collector ends or leaves the process."""

    selectors: Sequence[str]
    keep: bool
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Unselect:
    """Removes selectors; all of them if there are none."""

    selectors: Sequence[str]


@dataclass(frozen=True)
class SetGates:
    """Changes which calls fire, for the methods whose probes a glob matches, none if it is empty; and the
    agent's own limits."""

    glob: str
    settings: str
    limits: Limits = field(default_factory=Limits)


Command = Select | Unselect | SetGates


@dataclass(frozen=True)
class Outcome:
    """The agent's reply, and sentences for the user."""

    reply: control_pb2.ControlReply
    warnings: Sequence[str] = ()


def select(gateway: Gateway, command: Select) -> Outcome:
    """Raises JcollectError."""
    limits = command.limits
    if limits:
        # They end with the connection, and stay only if the selection does.
        gateway.limits(limits, "client")
    reply = gateway.select(command.selectors, leased=not command.keep)
    warnings = [f"it traces nothing: {reply.refusal}"] if reply.refusal else []
    if limits:
        if command.keep:
            reply.limits.CopyFrom(gateway.limits(limits, "selection").limits)
        if remark := limits.remark(reply.limits):
            warnings.append(remark)
    given = set(reply.given)
    warnings += [
        f"'{each.selector}' has no effect: a selector before it decides for all methods that it matches"
        for each in reply.selections
        if each.selector in given and each.overruled and not each.methods
    ]
    return Outcome(reply, [*warnings, *remarks(reply)])


def unselect(gateway: Gateway, command: Unselect) -> Outcome:
    """Raises JcollectError."""
    return Outcome(gateway.unselect(command.selectors))


def set_gates(process: Process, gateway: Gateway, command: SetGates) -> Outcome:
    """Raises JcollectError."""
    limits = command.limits
    # First: a mistake in it changes nothing.
    methods = methods_of(process, command.glob) if command.glob else None
    reply = gateway.set(methods.names, command.settings) if methods else None
    if limits:
        changed = gateway.limits(limits, "agent")
        if reply is None:
            reply = changed
        else:
            reply.limits.CopyFrom(changed.limits)
    if reply is None:
        raise JcollectError(
            f"cannot set anything in PID {process.pid}: the command names neither probes nor limits"
        )
    warnings = [remark] if limits and (remark := limits.remark(reply.limits)) else []
    if methods and any(
        gate.least_duration_nanos and method.id in methods.with_entries
        for method, gate in zip(reply.methods, reply.gates, strict=False)
    ):
        warnings.append("entry probes still fire; attach to '*__return' and '*__throw' only")
    return Outcome(reply, warnings)

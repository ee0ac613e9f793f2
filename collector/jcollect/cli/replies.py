"""Prints replies of the agent's control gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from jcollect.cli.output import echo
from jcollect.console import plural
from jcollect.control.remarks import is_exclusion, quoted
from jcollect.view.formats import gate_text
from jprobe.v1 import control_pb2, manifest_pb2

_FEW = 5


def totals(reply: control_pb2.ControlReply) -> str:
    return f"{plural(reply.traced_methods, 'method')} with {plural(reply.traced_probes, 'probe')}"


def echo_selections(selections: Iterable[control_pb2.Selection]) -> None:
    for selection in selections:
        if is_exclusion(selection):
            matched = "excluded"
        else:
            matched = plural(selection.methods, "method") if selection.methods else "nothing so far"
        if selection.overruled:
            matched += f"; a selector before it decides for {selection.overruled:,} more"
        leased = ", while a client stays connected" if selection.leased else ""
        echo(f"  {selection.selector}: {matched}{leased}")


def is_without_effect(selection: control_pb2.Selection) -> bool:
    """Returns true if other selectors of its owner decide for all methods that it matches."""
    return selection.overruled > 0 and selection.methods == 0


def echo_failed(failed: Sequence[manifest_pb2.Untraceable], everything: bool) -> None:
    """Prints the methods that cannot be traced, each with its reason: the first few, or all."""
    if not failed:
        return
    echo(f"cannot trace {len(failed):,} of the matching methods:")
    _echo_few([f"{_name_of(each)}: {each.reason}" for each in failed], everything)


def echo_gates(
    reply: control_pb2.ControlReply,
    everything: bool,
    selectors: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Prints which calls fire, for the methods whose gates were set: the first few, or all. A method with
    several sets of probes has several lines; `selectors` are those of the sets, by their IDs."""
    names = [_name_of(method) for method in reply.methods]
    times = Counter(names)
    lines = [
        f"{name}{_selected_by(selectors.get(method.id, '')) if times[name] > 1 else ''}: {gate_words(gate)}"
        for name, method, gate in zip(names, reply.methods, reply.gates, strict=False)
    ]
    _echo_few(lines, everything)


def _selected_by(selector: str) -> str:
    return f", selected by {quoted(selector)}" if selector else ""


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
    return f"{method.class_name}#{method.method}{method.method_descriptor}"

"""Prints the probes of a process, for `jcollect probes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jcollect.cli.output import Json, set_fields
from jcollect.cli.tables import print_table
from jcollect.probes.live import LiveProbe
from jcollect.probes.probe import KIND_NAMES, MARK, STATE_NAMES
from jcollect.view.formats import gate_text
from jprobe.v1 import manifest_pb2


def probe_json(live: LiveProbe, json: Json) -> dict[str, object]:
    """Returns a probe with all its properties that are set, and its current state."""
    probe = live.probe
    found = set_fields(
        {
            "provider": probe.provider,
            "name": probe.name,
            "kind": KIND_NAMES[probe.kind],
            "class": probe.class_name,
            "class_loader": probe.class_loader_id,
            "method": probe.method,
            "descriptor": probe.method_descriptor,
            "values": [
                set_fields({"name": value.name, "type": value.java_type, "path": value.path})
                for value in probe.values
            ],
            "file": probe.file,
            "location": json.number(probe.site.location),
            "semaphore": json.number(probe.site.semaphore),
            "semaphore_count": live.semaphore_count,
            "state": STATE_NAMES[live.state] if live.state else None,
            "condition": probe.condition,
            "selector": probe.selector,
            "filtered": json.number(live.suppressed.filtered),
            "throttled": json.number(live.suppressed.throttled),
            "throttled_ns": json.number(live.suppressed.throttled_ns),
        }
    )
    gate = {
        "least_duration_ns": live.least_duration_nanos,
        "every": live.every,
        "per_second": live.per_second,
    }
    return found | {name: json.number(setting) for name, setting in gate.items() if setting}


def untraceable_json(untraceable: manifest_pb2.Untraceable) -> dict[str, object]:
    return set_fields(
        {
            "class": untraceable.class_name,
            "class_loader": untraceable.class_loader_id,
            "method": untraceable.method,
            "descriptor": untraceable.method_descriptor,
            "traceable": False,
            "reason": untraceable.reason,
        }
    )


def print_probes(live: Sequence[LiveProbe]) -> None:
    """Prints USDT names, states, semaphores, locations for other tracers, methods and values."""
    sets: dict[object, set[str]] = {}
    for each in live:
        sets.setdefault(each.probe.method_key, set()).add(each.probe.set_id)
    rows = [
        (
            f"{each.probe.provider}:{each.probe.name}",
            STATE_NAMES[each.state],
            str(each.semaphore_count),
            f"{each.probe.file}+0x{each.probe.site.location:x}",
            f"0x{each.probe.site.semaphore:x}",
            " ".join(_method_and_values(each, len(sets[each.probe.method_key]) > 1)),
        )
        for each in live
    ]
    print_table(("PROBE", "STATE", "COUNT", "LOCATION", "SEMAPHORE", "METHOD AND VALUES"), rows)


def print_untraceable(untraceable: Sequence[manifest_pb2.Untraceable]) -> None:
    """Prints methods and whole classes that cannot be traced, each with its reason."""
    rows = [
        (
            f"{each.class_name}#{each.method}{each.method_descriptor}" if each.method else each.class_name,
            each.reason,
        )
        for each in untraceable
    ]
    print_table(("NOT TRACEABLE", "REASON"), rows)


def _method_and_values(live: LiveProbe, has_selector: bool) -> Iterator[str]:
    """`has_selector` is true to name the selector, which distinguishes the sets of probes of one method."""
    probe = live.probe
    if probe.kind != MARK:
        yield f"{probe.class_name}#{probe.method}{probe.method_descriptor}"
    if probe.values:
        yield ", ".join(f"{value.java_type} {value.name}" for value in probe.values)
    if probe.condition:
        yield probe.condition
    if has_selector and probe.selector:
        yield f"[{probe.selector}]"
    gate = gate_text(live.least_duration_nanos, live.every, live.per_second)
    if gate:
        yield f"[now: {gate}]"

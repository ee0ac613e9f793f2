"""A probe as the public client describes it."""

from __future__ import annotations

from dataclasses import dataclass

from jcollect.probes.probe import KIND_NAMES, STATE_NAMES
from jprobe.v1 import collector_pb2, probe_pb2

_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProbeValue:
    """One value of each event of a probe: its name in Event.values, its Java type, and the captured path."""

    name: str
    java_type: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe. `kind` is "entry", "return", "throw" or "mark", and `state` "armed", "throttled", …;
    "unknown" if only a later collector knows it. `id` is valid for one connection, and may be reassigned."""

    id: int
    pid: int
    provider: str
    name: str
    kind: str
    class_name: str
    method: str
    descriptor: str
    values: tuple[ProbeValue, ...]
    state: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


def probe_of(message: collector_pb2.Probe) -> Probe:
    names = value_names(message)
    return Probe(
        id=message.id,
        pid=message.pid,
        provider=message.provider,
        name=message.name,
        kind=KIND_NAMES.get(message.kind, _UNKNOWN),
        class_name=message.class_name,
        method=message.method,
        descriptor=message.method_descriptor,
        values=tuple(
            ProbeValue(name, value.java_type, value.path)
            for name, value in zip(names, message.values, strict=False)
        ),
        state=STATE_NAMES.get(message.state, _UNKNOWN),
    )


def value_names(message: collector_pb2.Probe) -> list[str]:
    """Returns distinct names of a probe's values, without the mask of absent ones at the end. A capture
    may have the name of an argument: it gets an underscore, as in tables (view/arrow_values.py)."""
    names: list[str] = []
    for index, value in enumerate(message.values):
        if value.type == probe_pb2.VALUE_TYPE_ABSENCE and index == len(message.values) - 1:
            break
        name = value.name or f"value{index}"
        while name in names:
            name += "_"
        names.append(name)
    return names

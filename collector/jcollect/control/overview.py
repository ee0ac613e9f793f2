"""Describes an agent from outside: by its stub libraries, without a command."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from jcollect.control.agent import Agent, states_of
from jcollect.probes.overhead import Overhead, find_guarded, read_overhead
from jcollect.probes.probe import STATE_NAMES, MethodKey, method_key, traceable_slots
from jcollect.probes.scan import Scan
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Overview:
    """An agent at one moment. `methods` is the number of methods with probes that are not retired; `states`
    counts probes by the name of their state."""

    version: str
    selectors: tuple[str, ...]
    refusal: str
    directory: str | None
    libraries: tuple[str, ...]
    methods: int
    states: dict[str, int]
    overhead: Overhead | None


def _overhead(agent: Agent) -> Overhead | None:
    guarded = find_guarded(agent.libraries)
    try:
        return None if guarded is None else read_overhead(guarded)
    except OSError:
        return None


def overview_of(agent: Agent) -> Overview:
    """Returns the agent's current state. Raises JcollectError if the process has exited."""
    counts: Counter[int] = Counter()
    methods: set[MethodKey] = set()
    for library, states in states_of(agent):
        manifest = library.image.manifest
        live: set[int] = set()
        for number, slot in traceable_slots(library):
            state = states[number] if states[number] in STATE_NAMES else 0
            counts[state] += 1
            if state != probe_pb2.PROBE_STATE_RETIRED:
                live.add(slot.method)
        methods.update(method_key(manifest.methods[number]) for number in live)
    return Overview(
        version=agent.version,
        selectors=agent.selectors,
        refusal=Scan(agent.process, agent.libraries).refusal,
        directory=agent.directory,
        libraries=tuple(library.file for library in agent.libraries),
        methods=len(methods),
        states={name: counts[number] for number, name in STATE_NAMES.items() if counts[number]},
        overhead=_overhead(agent),
    )

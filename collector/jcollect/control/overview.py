"""Describes an agent from outside: by its stub libraries, without a command."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from jcollect.control.agent import Agent, read_live_of
from jcollect.probes.overhead import Overhead, find_guarded, read_overhead
from jcollect.probes.probe import STATE_NAMES, probes_of
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
    live = read_live_of(agent.process, probes_of(agent.libraries))
    counts = Counter(each.state for each in live)
    return Overview(
        version=agent.version,
        selectors=agent.selectors,
        refusal=Scan(agent.process, agent.libraries).refusal,
        directory=agent.directory,
        libraries=tuple(library.file for library in agent.libraries),
        methods=len({e.probe.method_key for e in live if e.state != probe_pb2.PROBE_STATE_RETIRED}),
        states={name: counts[number] for number, name in STATE_NAMES.items() if counts[number]},
        overhead=_overhead(agent),
    )

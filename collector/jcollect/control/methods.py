"""Translates globs to the agent's names for methods: "generation:index" by the manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jcollect.control.agent import find_agent, unreadable
from jcollect.errors import JcollectError
from jcollect.probes.live import LiveProbe, read_mapped
from jcollect.probes.nearest import hint
from jcollect.probes.probe import ENTRY, Probe, narrow, probes_of
from jcollect.procfs.process import Process
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Methods:
    """Sets of probes by their names for the agent: the selector of each, and those with an entry probe."""

    selectors: Mapping[str, str]
    with_entries: frozenset[str]

    @property
    def names(self) -> list[str]:
        return list(self.selectors)


def methods_of(process: Process, glob: str) -> Methods:
    """Returns the methods with probes that match the glob and may still fire. Raises JcollectError if there
    are none."""
    agent, pid = find_agent(process), process.pid
    every = probes_of(agent.libraries) if agent else []
    matching = narrow(every, [glob])
    if not matching:
        example = f"; one of them is {every[0].class_name}#{every[0].method}" if every else ""
        near = hint([glob], every) or example
        raise JcollectError(f"'{glob}' matches none of the {len(every):,} probes of PID {pid}{near}")
    live = _read(process, matching)
    firing = [each.probe for each in live if each.state != probe_pb2.PROBE_STATE_RETIRED]
    selectors = {probe.set_id: probe.selector for probe in firing}
    if not selectors:
        raise JcollectError(
            f"'{glob}' matches only retired probes of PID {pid}: their classes were unloaded or their "
            "methods unselected"
        )
    with_entries = frozenset(probe.set_id for probe in every if probe.kind == ENTRY)
    return Methods(selectors, with_entries & selectors.keys())


def _read(process: Process, probes: Sequence[Probe]) -> list[LiveProbe]:
    try:
        return read_mapped(process, probes)
    except OSError as error:
        raise unreadable(process, error) from None

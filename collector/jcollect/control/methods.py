"""Names methods for the agent: by the manifests, as "generation:index"."""

from __future__ import annotations

from dataclasses import dataclass

from jcollect.control.agent import find_agent, read_live_of
from jcollect.errors import JcollectError
from jcollect.probes.probe import ENTRY, Probe, narrow, probes_of
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Methods:
    """By their names for the agent. `have_entries`: whether any of them has an entry probe."""

    names: tuple[str, ...]
    have_entries: bool


def methods_of(pid: int, glob: str) -> Methods:
    """The methods that have probes which the glob means and which may still fire. Raises JcollectError."""
    agent = find_agent(pid)
    every = probes_of(agent.libraries) if agent else []
    meant = narrow(every, [glob])
    if not meant:
        example = f"; one of them is {every[0].class_name}#{every[0].method}" if every else ""
        raise JcollectError(f"'{glob}' matches none of the {len(every):,} probes of PID {pid}{example}")
    live = read_live_of(pid, meant)
    names = dict.fromkeys(_name(each.probe) for each in live if each.state != probe_pb2.PROBE_STATE_RETIRED)
    if not names:
        raise JcollectError(
            f"'{glob}' matches retired probes of PID {pid} alone: unselected, or of classes that are gone"
        )
    have_entries = any(probe.kind == ENTRY and _name(probe) in names for probe in every)
    return Methods(tuple(names), have_entries)


def _name(probe: Probe) -> str:
    return f"{probe.library.image.manifest.generation}:{probe.gate}"

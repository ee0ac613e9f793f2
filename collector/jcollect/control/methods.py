"""Names methods for the agent: by the manifests, as "generation:index"."""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.control.agent import find_agent
from jcollect.discovery.live import read_live
from jcollect.discovery.probes import ENTRY, Probe, narrow, probes_of
from jcollect.errors import JcollectError
from jprobe.v1 import probe_pb2


def methods_of(pid: int, glob: str) -> list[str]:
    """The methods that have probes which the glob means and which may still fire. Raises JcollectError."""
    agent = find_agent(pid)
    every = probes_of(agent.libraries) if agent else []
    meant = narrow(every, [glob])
    if not meant:
        example = f"; one of them is {every[0].class_name}#{every[0].method}" if every else ""
        raise JcollectError(f"'{glob}' matches none of the {len(every):,} probes of PID {pid}{example}")
    try:
        live = read_live(meant)
    except OSError as error:
        raise JcollectError(f"cannot read the probes of PID {pid}: {error.strerror}; try again") from None
    names = dict.fromkeys(_name(each.probe) for each in live if each.state != probe_pb2.PROBE_STATE_RETIRED)
    if not names:
        raise JcollectError(
            f"'{glob}' matches retired probes of PID {pid} alone: unselected, or of classes that are gone"
        )
    return list(names)


def have_entries(pid: int, names: Sequence[str]) -> bool:
    """Whether any of these methods has an entry probe. Raises JcollectError."""
    agent = find_agent(pid)
    every = probes_of(agent.libraries) if agent else []
    return any(probe.kind == ENTRY and _name(probe) in names for probe in every)


def _name(probe: Probe) -> str:
    return f"{probe.library.image.manifest.generation}:{probe.gate}"

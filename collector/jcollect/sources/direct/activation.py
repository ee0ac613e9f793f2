"""How a collector tells an agent that it wants the events of probes in shared memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from jcollect.control.direct_lease import DirectLease
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.errors import JcollectError
from jcollect.probes.direct_site import DirectSink, direct_site_of, slot_of
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.process import Process
from jcollect.sources.base import Armed, Source


class Activator(Protocol):
    """Makes the agent write events of probes to its rings."""

    def activate(self, sites: Sequence[Site]) -> Armed:
        """Asks for the events of the probes at these sites of one binary until `disarm`. Raises
        JcollectError."""


class KernelActivator:
    """Asks by the direct semaphores, which the kernel raises, and lowers if this process is killed."""

    def __init__(self, source: Source) -> None:
        """The source places the uprobes, at instructions that are never executed."""
        self._source = source

    def activate(self, sites: Sequence[Site]) -> Armed:
        found = [direct for site in sites if (direct := direct_site_of(site, DirectSink.EVENT)) is not None]
        if len(found) < len(sites):
            raise JcollectError("only methods that an agent has selected have direct semaphores")
        return self._source.raise_semaphores(found)


class LeaseActivator:
    """Asks by the control gateways of the agents, which give the probes back when a connection ends. Needs no
    right to place uprobes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[Process, DirectLease] = {}

    def activate(self, sites: Sequence[Site]) -> Armed:
        library = sites[0].binary
        if not isinstance(library, StubLibrary) or not library.is_agents:
            raise JcollectError("only methods that an agent has selected have direct semaphores")
        lease = self._lease_of(library.process)
        generation = library.image.manifest.generation
        slots = [slot_of(site, library) for site in sites]
        lease.add_events(generation, slots)
        return _Leased(lease, generation, slots)

    def _lease_of(self, process: Process) -> DirectLease:
        with self._lock:
            self._leases = {each: lease for each, lease in self._leases.items() if not each.has_exited}
            return self._leases.setdefault(process, DirectLease(partial(open_agents_gateway, process)))


class _Leased(Armed):
    """Slots of one library whose events are leased."""

    def __init__(self, lease: DirectLease, generation: int, slots: Sequence[int]) -> None:
        self._lease = lease
        self._generation = generation
        self._slots = slots

    def disarm(self) -> None:
        self._lease.remove_events(self._generation, self._slots)

"""How a collector tells an agent that it wants the events or counts of probes in shared memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from jcollect.control.direct_lease import DirectLease
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.errors import JcollectError
from jcollect.probes.direct_site import DirectSink, direct_site_of, sink_of, slot_of
from jcollect.probes.probe import limits_of
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.process import Process
from jcollect.sources.base import Armed, Source


class Activator(Protocol):
    """Makes the agent write events of probes to its rings."""

    def activate(self, sites: Sequence[Site]) -> Armed:
        """Asks for the events of the probes at these sites of one binary until `disarm`. Raises
        JcollectError."""

    def raise_semaphores(self, sites: Sequence[Site]) -> Armed:
        """Does what Source.raise_semaphores does, or asks for the same in another way. Raises
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

    def raise_semaphores(self, sites: Sequence[Site]) -> Armed:
        return self._source.raise_semaphores(sites)


class LeaseActivator:
    """Asks by the control gateways of the agents, which give the probes back when a connection ends. Needs no
    right to place uprobes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[Process, DirectLease] = {}

    def activate(self, sites: Sequence[Site]) -> Armed:
        return self._lease_sink(_library_of(sites), DirectSink.EVENT, sites)

    def raise_semaphores(self, sites: Sequence[Site]) -> Armed:
        library = _library_of(sites)
        sinks = {sink_of(site, library) for site in sites}
        sink = sinks.pop()
        if sink is not None and not sinks:
            return self._lease_sink(library, sink, sites)
        percent = next((step for step, probe in limits_of(library).items() if [probe.site] == [*sites]), None)
        if percent is None:
            raise JcollectError(
                "cannot raise semaphores: needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; run with sudo"
            )
        lease = self._lease_of(library.process)
        lease.request_overhead(percent)
        return _LeasedLimit(lease)

    def _lease_sink(self, library: StubLibrary, sink: DirectSink, sites: Sequence[Site]) -> Armed:
        lease = self._lease_of(library.process)
        generation = library.image.manifest.generation
        slots = [slot_of(site, library) for site in sites]
        lease.add(sink, generation, slots)
        return _LeasedSlots(lease, sink, generation, slots)

    def _lease_of(self, process: Process) -> DirectLease:
        with self._lock:
            self._leases = {each: lease for each, lease in self._leases.items() if not each.has_exited}
            return self._leases.setdefault(process, DirectLease(partial(open_agents_gateway, process)))


def _library_of(sites: Sequence[Site]) -> StubLibrary:
    """Returns the library of the sites of one binary. Raises JcollectError if no agent has written it."""
    library = sites[0].binary
    if not isinstance(library, StubLibrary) or not library.is_agents:
        raise JcollectError("only methods that an agent has selected have direct semaphores")
    return library


class _LeasedSlots(Armed):
    """Slots of one library of which a sink is leased."""

    def __init__(self, lease: DirectLease, sink: DirectSink, generation: int, slots: Sequence[int]) -> None:
        self._lease = lease
        self._sink = sink
        self._generation = generation
        self._slots = slots

    def disarm(self) -> None:
        self._lease.remove(self._sink, self._generation, self._slots)


class _LeasedLimit(Armed):
    """A requested limit of the overhead."""

    def __init__(self, lease: DirectLease) -> None:
        self._lease = lease

    def disarm(self) -> None:
        self._lease.withdraw_overhead()

"""The direct lane without the kernel: probes leased on an agent's gateway, and read from its memory.

Places no uprobe, so it works where the kernel can place none: in emulated processes, and without rights.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from conditions import wait_until
from jcollect.control.gateway import Gateway
from jcollect.control.open_gateway import open_gateway
from jcollect.probes.direct_site import slot_of
from jcollect.probes.histogram_file import Histograms
from jcollect.probes.live import Gates
from jcollect.probes.overhead import find_guarded, read_overhead
from jcollect.probes.probe import MARK, Probe, by_binary
from jcollect.probes.scan import scan_traceable
from jcollect.probes.site import Site
from jcollect.procfs.process import Process
from jcollect.sources.base import Armed
from jcollect.sources.columns import Columns
from jcollect.sources.direct.source import DirectSource
from orders_client import Tallies

_MOST_PROBES = 4096
_POLL_SECONDS = 0.005


def ranges(sites: Sequence[Site]) -> str:
    """Returns the slots of sites as the gateway's command takes them."""
    slots = [(site.binary.image.manifest.generation, slot_of(site, site.binary)) for site in sites]
    return ",".join(f"{generation}:{slot}-{slot}" for generation, slot in sorted(slots))


class Leases:
    """Asks for events by a lease. An Activator of DirectSource."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._leased: list[Site] = []

    def activate(self, sites: Sequence[Site]) -> Armed:
        self._leased += sites
        self._lease()
        return _Leased(self, sites)

    def end(self, sites: Sequence[Site]) -> None:
        self._leased = [site for site in self._leased if not any(site is each for each in sites)]
        self._lease()

    def _lease(self) -> None:
        self._gateway._call("direct", ranges(self._leased), "")


class _Leased(Armed):
    def __init__(self, leases: Leases, sites: Sequence[Site]) -> None:
        self._leases = leases
        self._sites = sites

    def disarm(self) -> None:
        self._leases.end(self._sites)


class LeasedEvents(threading.Thread):
    """Reads the events of all methods that an agent traces, by jcollect's DirectSource, and tallies them."""

    def __init__(self, source: DirectSource, probes: Sequence[Probe]) -> None:
        super().__init__()
        self._source = source
        self._schema = dict(enumerate(probes))
        self._ended = threading.Event()
        self.tallies = Tallies()
        self.tids: set[int] = set()

    def run(self) -> None:
        """Reads until `end`, and then what is left."""
        while not self._ended.wait(_POLL_SECONDS):
            self._read()
        self._read()

    def _read(self) -> None:
        is_over = False
        while not is_over:
            drained = self._source.drain()
            self.tallies.lost += drained.lost
            self._add(drained.batch.columns)
            is_over = not drained.more

    def _add(self, columns: Columns) -> None:
        self.tids.update(columns.tid.tolist())
        lists = {name: getattr(columns, name).tolist() for name in ("probe", "thread", "values")}
        self.tallies.add(self._schema, SimpleNamespace(**lists, text=columns.text))

    def end(self) -> None:
        self._ended.set()
        self.join()

    def lost(self) -> int:
        """Returns the events that are lost by any of the counts."""
        return sum(int(self._source.lost(stage).sum()) for stage in self._source.stages) + self._source.gaps


@contextlib.contextmanager
def leased_events(process: Process) -> Iterator[LeasedEvents]:
    """Leases all probes of the agent's methods for events until the end of the block. Then all are read."""
    found = scan_traceable(process)
    groups = by_binary(probe for probe in found.every if probe.kind != MARK)
    probes = [probe for group in groups for probe in group]
    with open_gateway(process, may_load=False) as gateway, contextlib.ExitStack() as stack:
        source = DirectSource(_MOST_PROBES, 0, Leases(gateway))
        stack.callback(source.close)
        source.describe(range(len(probes)), probes)
        source.follow(found.libraries)
        first = 0
        for group in groups:
            armed = source.arm(range(first, first + len(group)), [probe.site for probe in group])
            stack.callback(armed.disarm)
            first += len(group)
        events = LeasedEvents(source, probes)
        events.start()
        try:
            yield events
        finally:
            events.end()


class LeasedCounts:
    """The histograms of the methods that an agent traces."""

    def __init__(self, histograms: Histograms, probes: Sequence[Probe]) -> None:
        self._histograms = histograms
        self._probes = probes

    def read(self) -> dict[tuple[str, str, int], int]:
        """Returns the number of calls in each histogram that has any, by method, descriptor and kind."""
        gates = Gates(self._probes)
        numbers = gates.histograms(gates.read()).tolist()
        found = self._histograms.read(numbers)
        return {
            (probe.method, probe.method_descriptor, probe.kind): found[number].count
            for probe, number in zip(self._probes, numbers, strict=True)
            if number in found
        }


@contextlib.contextmanager
def leased_counts(process: Process) -> Iterator[LeasedCounts]:
    """Leases all probes of the agent's methods for counts until the end of the block."""
    found = scan_traceable(process)
    probes = [probe for probe in found.every if probe.kind != MARK]
    guarded = find_guarded(found.libraries)
    assert guarded is not None
    with open_gateway(process, may_load=False) as gateway:
        gateway._call("direct", "", ranges([probe.site for probe in probes]))
        number = wait_until(
            lambda: (read_overhead(guarded).histograms or -1) + 1, "the agent to create its histograms"
        )
        with contextlib.closing(Histograms.open(process, number - 1)) as histograms:
            yield LeasedCounts(histograms, probes)

"""Attaches to the probes at which agents report mounts and unmounts of virtual threads. Their records are in
the ring buffer of bpf/threads.c, between those of the carriers, so none of them is an event of the stream."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence

import numpy as np

from jcollect.errors import JcollectError
from jcollect.layout.threads import THREAD_KIND_MOUNTED, THREAD_KIND_UNMOUNTED
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import mounts_of
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.maps import MappingKey
from jcollect.sources.bpf.links import Linker, Links
from jcollect.sources.threads.programs import ThreadPrograms

_KINDS = {"virtual__mount": THREAD_KIND_MOUNTED, "virtual__unmount": THREAD_KIND_UNMOUNTED}
_MOST_NUMBERS = (1 << 16) - 1


class Mounts:
    """The links to the probes of mounts of all processes, until `close`. For any thread.

    `numbers` has the number of each probe's process, by probe ID, as the records have it: 0 for none. A
    process gets another one with each agent: mounts between two agents are not reported.
    """

    def __init__(self, programs: ThreadPrograms, capacity: int) -> None:
        """`capacity` is that of probe IDs."""
        self.numbers = np.zeros(capacity, np.uint16)
        self._pids = np.zeros(capacity, np.uint32)
        self._programs = programs
        self._linker: Linker | None = None
        self._lock = threading.Lock()
        self._links: dict[int, tuple[MappingKey, int, Links | None]] = {}
        self._last = 0
        self._is_closed = False

    def follow(self, pid: int, libraries: Iterable[StubLibrary]) -> None:
        """Attaches to the probes of the process's agent, and detaches from those of an earlier one. Calls of
        virtual threads stay unexplained if that fails."""
        probes = mounts_of(libraries)
        found = {probe.name: probe for probe in probes if probe.site.binary is probes[-1].site.binary}
        key = probes[-1].site.binary.key if probes and found.keys() == _KINDS.keys() else None
        with self._lock:
            known = self._links.get(pid)
            if self._is_closed or key == (None if known is None else known[0]):
                return
            self._detach(pid)
            if key is None:
                return
            number = self._last = self._last % _MOST_NUMBERS + 1
            links: Links | None = None
            with contextlib.suppress(JcollectError):
                if self._linker is None:
                    self._linker = Linker(self._programs)
                links = self._linker.link_with(
                    [_KINDS[name] | number << 16 for name in found],
                    [probe.site for probe in found.values()],
                )
            self._links[pid] = key, number if links is not None else 0, links
            self._number(pid)

    def describe(self, probes: Sequence[ProbeDescription]) -> None:
        with self._lock:
            for probe in probes:
                self._pids[probe.id] = probe.pid
            for pid in {probe.pid for probe in probes}:
                self._number(pid)

    def leave(self, pid: int) -> None:
        with self._lock:
            self._detach(pid)

    def close(self) -> None:
        """Detaches from all."""
        with self._lock:
            self._is_closed = True
            for pid in list(self._links):
                self._detach(pid)

    def _number(self, pid: int) -> None:
        known = self._links.get(pid)
        self.numbers[self._pids == pid] = known[1] if known is not None else 0

    def _detach(self, pid: int) -> None:
        known = self._links.pop(pid, None)
        self._number(pid)
        if known is not None and known[2] is not None:
            known[2].disarm()

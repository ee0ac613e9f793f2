"""The direct lane as a source: pools of traced processes, read by one thread."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from jcollect.probes.probe import MARK, Probe
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.process import Process
from jcollect.sources.base import (
    ALWAYS,
    Armed,
    Drained,
    LossStage,
    Pause,
    Source,
    SourceStatus,
    UnusableError,
)
from jcollect.sources.columns import U64, count_ids
from jcollect.sources.direct.activation import Activator
from jcollect.sources.direct.armed import ArmedInRings
from jcollect.sources.direct.pools import PoolSet
from jcollect.sources.direct.recording import Recording
from jcollect.sources.direct.traced import Traced
from jcollect.sources.recorder import Recorder
from jcollect.sources.records.decoder import RecordDecoder
from jcollect.sources.records.malformed import MalformedCounts

LINK_TYPE = "direct"
# Polling interval in ms. A poll looks at each chunk of the pools. A thread that does nothing but fire fills
# 16 MiB, the default of agents, in 80 ms.
_PAUSE = Pause(5, 25)


class DirectSource(Source):
    """Events of Java methods, from the rings of their processes. See Source.

    Hits are the events that were read, and those that the process counts as lost: nothing else counts calls
    that fire without a trap.
    """

    def __init__(
        self,
        capacity: int,
        utc_offset_ns: int,
        activator: Activator,
        recorder: Recorder | None = None,
        kernel: Source | None = None,
    ) -> None:
        """Prepares for probe IDs below `capacity`. `utc_offset_ns` is added to times in columns. With a
        recorder, events are delivered only once it is triggered. Takes over the `kernel` source, if one is
        given, which raises semaphores. Raises JcollectError."""
        self.pause = _PAUSE
        self._activator = activator
        self._decoder = RecordDecoder(capacity, utc_offset_ns)
        self._malformed = MalformedCounts(self._decoder)
        self._taken: U64 = np.zeros(capacity, np.uint64)
        self._lost: U64 = np.zeros(capacity, np.uint64)
        self._lost_before: U64 = np.zeros(capacity, np.uint64)
        # Held while the pools are read, or changed. Nothing in it waits.
        self._lock = threading.Lock()
        self._recording = Recording(recorder) if recorder else None
        self._pools = PoolSet(self._recording)
        self._kernel = kernel
        self._is_delivering = False
        self._traced: dict[Process, Traced] = {}
        # Where each ID is known by a number.
        self._numbers: dict[int, tuple[Traced, int]] = {}
        self._pause_ms = 0

    @property
    def name(self) -> str:
        return "direct rings"

    @property
    def has_sinks(self) -> bool:
        return True

    def is_preferred_for(self, probe: Probe) -> bool:
        return probe.is_agents and probe.kind != MARK

    def describe(self, ids: Sequence[int], probes: Iterable[Probe]) -> None:
        with self._lock:
            self._decoder.add(ids, probes)
            for number in ids:
                self._lost_before[number] = self._lost[number]
                # It was another probe's.
                if number in self._numbers:
                    traced, before = self._numbers.pop(number)
                    traced.numbers.remove(before, number)

    def follow(self, libraries: Sequence[StubLibrary]) -> None:
        if libraries:
            self._traced_by(libraries[0].process).follow(libraries)

    def report_lost(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        self._lost[ids] = self._lost_before[ids] + counts

    def arm(self, ids: Sequence[int], sites: Sequence[Site]) -> Armed:
        library = sites[0].binary
        if not isinstance(library, StubLibrary) or not library.is_agents:
            raise UnusableError("only methods that an agent has selected have events without a trap")
        traced = self._traced_by(library.process)
        with self._lock:
            for number, assigned in traced.assign(ids, sites, library):
                self._numbers[assigned] = (traced, number)
        traced.prepare()
        try:
            semaphores = self._activator.activate(sites)
        except BaseException:
            traced.end()
            raise
        armed = ArmedInRings(traced, library, sites, semaphores)
        try:
            traced.await_pool()
        except BaseException:
            armed.disarm()
            raise
        return armed

    def _traced_by(self, process: Process) -> Traced:
        with self._lock:
            traced = self._traced.get(process)
            if traced is None:
                # Those that have exited are forgotten here, because nothing else happens to them any more.
                self._traced = {each: of for each, of in self._traced.items() if not of.is_over}
                traced = self._traced[process] = Traced(process, self._pools, self._lock)
            return traced

    def raise_semaphores(self, sites: Sequence[Site]) -> Armed:
        return self._activator.raise_semaphores(sites)

    @property
    def is_quiet(self) -> bool:
        with self._lock:
            return not self._decoder.buffered and self._pools.is_quiet

    def drain(self, until: int = ALWAYS) -> Drained:
        with self._lock:
            decoded = self._decoder.drain_pools(self._pools.memory, until)
            self._pools.tidy()
            drained = self._malformed.counted(decoded)
            count_ids(self._taken, drained.batch.columns.probe)
        return drained

    def wait_and_drain(self, window_ns: int, stop: int) -> Drained | None:
        if self._recording is not None:
            return self._wait_for_trigger(self._recording, stop)
        poll = select.poll()
        poll.register(stop, select.POLLIN)
        while not poll.poll(self._pause_ms):
            if self.is_quiet:
                self._pause_ms = self._next_pause(False)
                continue
            drained = self.drain(max(0, time.monotonic_ns() - window_ns))
            is_active = len(drained.batch) > 0 or drained.is_holding
            self._pause_ms = 0 if drained.more else self._next_pause(is_active)
            if len(drained.batch) or drained.lost or drained.more:
                return drained
        return None

    def _wait_for_trigger(self, recording: Recording, stop: int) -> Drained | None:
        poll = select.poll()
        poll.register(stop, select.POLLIN)
        poll.register(recording.descriptor, select.POLLIN)
        while True:
            if self._is_delivering:
                drained = self.drain()
                if not drained.more:
                    self._is_delivering = False
                    with self._lock:
                        recording.close_read()
                if len(drained.batch) or drained.lost:
                    return drained
            elif any(descriptor == stop for descriptor, _ in poll.poll()):
                return None
            else:
                with self._lock:
                    recording.open_triggered()
                self._is_delivering = True

    def _next_pause(self, is_active: bool) -> int:
        twice = 2 * self._pause_ms
        if is_active or twice < self.pause.shortest:
            return self.pause.shortest
        return min(twice, self.pause.longest)

    @property
    def out_of_order(self) -> int:
        return self._decoder.out_of_order

    @property
    def stages(self) -> Sequence[LossStage]:
        return LossStage.DIRECT_RING, LossStage.COLLECTOR

    def lost(self, stage: LossStage) -> U64:
        return (self._lost if stage == LossStage.DIRECT_RING else self._malformed.by_id).copy()

    def hits(self) -> U64:
        return self._taken + self._malformed.by_id + self._lost

    @property
    def gaps(self) -> int:
        """Events that are missing in the rings, by their numbers: lost ones, unless a thread has lost its
        last ones."""
        with self._lock:
            return self._pools.gaps

    @property
    def foreign(self) -> int:
        """Records of probes that this source has not armed. They do not count as hits."""
        with self._lock:
            return self._pools.foreign

    def status(self) -> SourceStatus:
        with self._lock:
            recording = self._recording
            recorder = recording.status(self._pools.overwritten) if recording else None
            return SourceStatus(LINK_TYPE, self._pools.data_bytes, 0, recorder)

    def close(self) -> None:
        with self._lock:
            if self._recording is not None:
                self._recording.close()
            self._pools.close()
        if self._kernel is not None:
            self._kernel.close()

"""Sources without a kernel: a list of batches, and counters that the test sets."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from jcollect.errors import JcollectError
from jcollect.probes.probe import Probe
from jcollect.probes.site import Site
from jcollect.sources.base import ALWAYS, Armed, Drained, LossStage, Pause, Source, SourceStatus
from jcollect.sources.columns import U64, Batch, Columns, empty_batch


class StillCounters:
    """Counters of a source whose events do not matter. Tests may change the lists; `hits_` holds the hits."""

    name = "still"
    stages = (LossStage.KERNEL_RING, LossStage.COLLECTOR)

    def __init__(
        self, capacity: int, hits: Sequence[int] | None = None, ring: Sequence[int] | None = None
    ) -> None:
        self.hits_ = [0] * capacity if hits is None else list(hits)
        # Not copied, because the test keeps counting in its own list.
        self.ring = [0] * capacity if ring is None else ring if isinstance(ring, list) else list(ring)
        self.collector = [0] * capacity

    def hits(self) -> U64:
        return np.array(self.hits_, np.uint64)

    def lost(self, stage: LossStage) -> U64:
        return np.array(self.ring if stage == LossStage.KERNEL_RING else self.collector, np.uint64)


def batch_of(events: Iterable[tuple[int, int]], values: int = 0, text: bytes = b"") -> Batch:
    """Returns a batch of events, each given by its time and its probe ID. Each has that many values, all
    equal to its time, and this text.
    """
    times, probes = np.array(list(events), np.uint64).reshape(-1, 2).T
    count = len(times)
    return Batch(
        Columns(
            seq=np.arange(count, dtype=np.uint64),
            time_unix_nanos=times,
            probe=probes.astype(np.uint32),
            tid=np.ones(count, np.uint32),
            thread=np.ones(count, np.uint64),
            duration_nanos=np.zeros(count, np.uint64),
            values=np.repeat(times, values),
            text=text * count,
        ),
        np.full(count, values, np.uint32),
        np.full(count, len(text), np.uint32),
    )


class _ArmedSites(Armed):
    def __init__(self, disarm: Callable[[], None]) -> None:
        self._disarm = disarm

    def disarm(self) -> None:
        self._disarm()


class ListSource(Source):
    """A source that drains a list of batches, whose events are in order of time, in ns of CLOCK_MONOTONIC.

    `put` adds a batch, and `lose` counts events lost at a stage. `disarming` is called before sites are
    disarmed. `most` is the maximum number of events per drain. With `wakes`, the source has a descriptor and
    need not be polled.
    """

    stages = (LossStage.KERNEL_RING, LossStage.COLLECTOR)

    def __init__(
        self,
        capacity: int,
        utc_offset_ns: int = 0,
        batches: Iterable[Batch] = (),
        name: str = "list",
        most: int = 1 << 30,
        wakes: bool = False,
    ) -> None:
        self._name = name
        self._batches = list(batches)
        self._utc_offset = utc_offset_ns
        self._most = most
        self._newest = 0
        self._out_of_order = 0
        self._lost_now = 0
        self.pause = Pause(1, 5)
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if wakes else None
        self._hits = np.zeros(capacity, np.uint64)
        self._lost = {stage: np.zeros(capacity, np.uint64) for stage in self.stages}
        self.described: dict[int, Probe] = {}
        self.armed: dict[int, Site] = {}
        self.disarming: Callable[[], object] = lambda: None
        self.raised: list[Site] = []
        self.is_closed = False
        for batch in self._batches:
            self._count_hits(batch)

    @property
    def name(self) -> str:
        return self._name

    def put(self, batch: Batch) -> None:
        """Adds a batch. From then on its events count as hits."""
        self._count_hits(batch)
        self._batches.append(batch)
        if self.descriptor is not None:
            os.eventfd_write(self.descriptor, 1)

    def lose(self, stage: LossStage, probe: int, events: int) -> None:
        """Counts hits whose events were lost."""
        self._hits[probe] += np.uint64(events)
        self._lost[stage][probe] += np.uint64(events)
        if stage == LossStage.COLLECTOR:
            self._lost_now += events

    def _count_hits(self, batch: Batch) -> None:
        np.add.at(self._hits, batch.columns.probe, np.uint64(1))

    def describe(self, ids: Sequence[int], probes: Iterable[Probe]) -> None:
        self.described.update(zip(ids, probes, strict=True))

    def arm(self, ids: Sequence[int], sites: Sequence[Site]) -> Armed:
        assert len({id(site.binary) for site in sites}) == 1
        if not set(ids) <= self.described.keys():
            raise JcollectError("cannot arm probes that were not described")
        self.armed.update(zip(ids, sites, strict=True))

        def disarm() -> None:
            self.disarming()
            for number in ids:
                del self.armed[number]

        return _ArmedSites(disarm)

    def raise_semaphores(self, sites: Sequence[Site]) -> Armed:
        self.raised += sites

        def lower() -> None:
            for site in sites:
                self.raised.remove(site)

        return _ArmedSites(lower)

    def drain(self, until: int = ALWAYS) -> Drained:
        assert not self.is_closed
        if self.descriptor is not None and select.select([self.descriptor], [], [], 0)[0]:
            os.eventfd_read(self.descriptor)
        lost, self._lost_now = self._lost_now, 0
        while self._batches and not len(self._batches[0]):
            del self._batches[0]
        if not self._batches:
            return Drained(empty_batch(), lost)
        batch = self._batches[0]
        numbers = np.arange(len(batch))
        ripe = (batch.columns.time_unix_nanos <= np.uint64(until)) & (numbers < self._most)
        self._batches[0] = batch.pick(~ripe)
        found = batch.pick(ripe)
        for when in found.columns.time_unix_nanos.tolist():
            self._out_of_order += when < self._newest
            self._newest = max(self._newest, when)
        left = [each for each in self._batches if len(each)]
        more = bool(left) and int(left[0].columns.time_unix_nanos[0]) <= until
        times = found.columns.time_unix_nanos + np.uint64(self._utc_offset)
        columns = replace(found.columns, time_unix_nanos=times)
        return Drained(replace(found, columns=columns), lost, more, bool(left))

    def wait_and_drain(self, window_ns: int, stop: int) -> Drained | None:
        while True:
            if select.select([stop], [], [], self.pause.shortest / 1000)[0]:
                return None
            drained = self.drain(time.monotonic_ns() - window_ns)
            if len(drained.batch) or drained.lost or drained.more:
                return drained

    @property
    def out_of_order(self) -> int:
        return self._out_of_order

    def lost(self, stage: LossStage) -> U64:
        return self._lost[stage].copy()

    def hits(self) -> U64:
        return self._hits.copy()

    def status(self) -> SourceStatus:
        return SourceStatus("list", 0, 0)

    def close(self) -> None:
        assert not self.armed
        assert not self.raised
        self.is_closed = True
        if self.descriptor is not None:
            os.close(self.descriptor)

"""The counts of a recording while it is replayed: what accounts of a hub read from a source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jcollect.hub.items import Loss
from jcollect.sources.base import LossStage
from jcollect.sources.columns import U32, U64, count_ids


class RecordedCounters:
    """Counters by probe ID. Events lost on the way to the recorder count as lost in the collector."""

    name = "recording"
    stages: Sequence[LossStage] = (LossStage.KERNEL_RING, LossStage.DIRECT_RING, LossStage.COLLECTOR)

    def __init__(self, capacity: int) -> None:
        self._delivered = np.zeros(capacity, np.uint64)
        self._lost = {stage: np.zeros(capacity, np.uint64) for stage in (*self.stages, LossStage.SUBSCRIBER)}

    def deliver(self, probes: U32) -> None:
        count_ids(self._delivered, probes)

    def lose(self, loss: Loss) -> None:
        """Takes note of a loss: totals since the recording began, which never fall."""
        stage = LossStage(loss.stage) if loss.stage in set(LossStage) else LossStage.COLLECTOR
        counts = self._lost.get(stage)
        if counts is None:
            counts = self._lost[LossStage.COLLECTOR]
        for probe, events in loss.by_probe.items():
            if probe < len(counts):
                counts[probe] = max(int(counts[probe]), min(events, 1 << 62))

    def lost(self, stage: LossStage) -> U64:
        counts = self._lost[stage].copy()
        if stage == LossStage.COLLECTOR:
            counts += self._lost[LossStage.SUBSCRIBER]
        return counts

    def hits(self) -> U64:
        lost = [self.lost(stage) for stage in self.stages]
        return self._delivered + lost[0] + lost[1] + lost[2]

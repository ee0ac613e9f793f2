"""Publishes numbered events through a hub, for tests of clients."""

from __future__ import annotations

import numpy as np

from jcollect.sources.columns import Batch, Columns
from served import StillSource

# Number of probes of the source.
PROBES = 3
# Time of the first event.
TIME = 1_700_000_000_000_000_000


class Publisher:
    """Publishes events with consecutive numbers, of the probes in turn; the value of each is its number."""

    def __init__(self, source: StillSource) -> None:
        self._hub = source.hub
        self.published = 0

    def publish(self, count: int) -> None:
        numbers = np.arange(self.published, self.published + count, dtype=np.uint64)
        ones = np.ones(count, np.uint64)
        columns = Columns(
            seq=numbers,
            time_unix_nanos=TIME + numbers,
            probe=(numbers % PROBES).astype(np.uint32),
            tid=7 * ones.astype(np.uint32),
            thread=9 * ones,
            duration_nanos=1000 * numbers,
            values=numbers,
            text=b"",
            start_unix_nanos=TIME + numbers,
        )
        self.published += count
        self._hub.publish(Batch(columns, np.ones(count, np.uint32), np.zeros(count, np.uint32)))

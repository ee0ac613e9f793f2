"""Counts the malformed records that a decoder finds."""

from __future__ import annotations

import numpy as np

from jcollect.sources.base import Drained
from jcollect.sources.columns import U64, count_ids
from jcollect.sources.records.decoder import Decoded, RecordDecoder


class MalformedCounts:
    """Malformed records of a decoder. `by_id` has their number for each probe ID, uint64; the highest ID
    stands for all beyond it."""

    def __init__(self, decoder: RecordDecoder) -> None:
        self.by_id: U64 = np.zeros(decoder.capacity, np.uint64)
        self._decoder = decoder

    def counted(self, decoded: Decoded) -> Drained:
        """Counts those of one drain, and returns its result."""
        lost = len(decoded.malformed)
        if lost:
            count_ids(self.by_id, decoded.malformed)
        return Drained(decoded.batch, lost, decoded.more, self._decoder.buffered > 0)

"""Log-linear latency histograms: 16 sub-buckets for each power of two, many histograms at once.

A percentile is the middle of a bucket, which differs from the value by at most 1/32 (3.1%); values below 32
ns are exact. The bucket of v is v itself below 16; otherwise 16 * (e - 4) + (v >> e - 4), with e = floor(log2
v): the exponent and the next 4 bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jcollect.sources.columns import U64

BUCKETS = 16 * 60 + 16
_SUB_BITS = 4


def bucket_of(values: U64) -> npt.NDArray[np.int64]:
    """Returns the bucket of each value (uint64)."""
    # frexp of a float may round a number beyond 2**53 up to the next power; the bucket is the same then.
    exponent = np.maximum(np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1, _SUB_BITS)
    shift = (exponent - _SUB_BITS).astype(np.uint64)
    return (shift.astype(np.int64) << _SUB_BITS) + (values >> shift).astype(np.int64)


def middle_of(bucket: int) -> float:
    """Returns the middle of a bucket."""
    if bucket < 2 << _SUB_BITS:
        return float(bucket)
    shift = (bucket >> _SUB_BITS) - 1
    low = bucket - (shift << _SUB_BITS)
    return float((low << shift) + ((1 << shift) - 1) / 2)


class Histograms:
    """A histogram per key; keys are 0..keys-1."""

    def __init__(self, keys: int) -> None:
        # Untouched pages of zeros use no memory, so neither do unused histograms.
        self._counts = np.zeros((keys, BUCKETS), np.uint32)

    def grow(self, keys: int) -> None:
        """Adds empty histograms, so that keys are 0..keys-1."""
        before, self._counts = self._counts, np.zeros((keys, BUCKETS), np.uint32)
        self._counts[: len(before)] = before

    def add(self, keys: npt.NDArray[np.int64], values: U64) -> None:
        """Counts values[i] in the histogram keys[i]."""
        indexes, counts = np.unique(keys * BUCKETS + bucket_of(values), return_counts=True)
        self._counts.reshape(-1)[indexes] += counts.astype(np.uint32)

    def percentiles(self, key: int, fractions: tuple[float, ...]) -> list[float] | None:
        """Returns percentiles for increasing fractions such as 0.5 and 0.99; None for an empty histogram."""
        sums = np.cumsum(self._counts[key], dtype=np.uint64)
        total = int(sums[-1])
        if total == 0:
            return None
        ranks = [max(1, int(np.ceil(fraction * total))) for fraction in fractions]
        return [middle_of(int(bucket)) for bucket in np.searchsorted(sums, ranks)]

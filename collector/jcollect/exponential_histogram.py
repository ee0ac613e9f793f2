"""Base-2 exponential histograms as OpenTelemetry defines them: values that can be merged and subtracted.

At scale s, bucket i counts durations in ns above 2^(i/2^s), up to and including 2^((i+1)/2^s); durations of 0
have a count of their own. At scale 4, which the traced programs count at, a duration differs from the middle
of its bucket by at most 2.2%. All bounds are exact: they are integer roots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SCALE = 4
# OpenTelemetry's own minimum. Durations of 63 bits have at most two buckets there.
MIN_SCALE = -10
# Relative error of a percentile at SCALE, in percent: half of the width of a bucket.
ERROR_PERCENT = 2.2
# Sums of durations are modulo this number.
_SUM_MODULUS = 1 << 64

_U64 = npt.NDArray[np.uint64]


class Bounds(NamedTuple):
    """The shortest and the longest duration in ns that a bucket counts, and the value that stands for all of
    them: none differs from it by more, relative to itself, than the longest and the shortest do."""

    lower: int
    value: float
    upper: int


NO_TIME = Bounds(0, 0.0, 0)


@cache
def upper_bound(bucket: int, scale: int = SCALE) -> int:
    """Returns the longest duration that a bucket counts, in ns; 0 for a bucket of durations below 1 ns."""
    if bucket < -1:
        return 0
    if scale <= 0:
        return 1 << ((bucket + 1) << -scale)
    root = 1 << (bucket + 1)
    # The integer part of a root of a root is that of the root of the number.
    for _ in range(scale):
        root = isqrt(root)
    return root


@cache
def bounds_of(bucket: int, scale: int = SCALE) -> Bounds:
    """Returns what a bucket counts. A bucket without any integer stands for its upper bound."""
    upper = upper_bound(bucket, scale)
    lower = min(upper_bound(bucket - 1, scale) + 1, upper)
    # The harmonic mean is as far from both, relative to them.
    return Bounds(lower, 2 * lower * upper / max(lower + upper, 1), upper)


@dataclass(frozen=True, eq=False)
class ExponentialHistogram:
    """Durations of calls. Element i of `counts` is the count of bucket `offset` + i; its first and last
    elements are not 0. `zero` counts durations of 0. `total` is the sum of all durations in ns."""

    scale: int = SCALE
    zero: int = 0
    offset: int = 0
    counts: _U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    total: int = 0

    @staticmethod
    def of(
        counts: _U64, offset: int, zero: int = 0, total: int = 0, scale: int = SCALE
    ) -> ExponentialHistogram:
        """Returns the histogram with these counts of successive buckets, the first of which is `offset`."""
        (used,) = np.nonzero(counts)
        if not len(used):
            return ExponentialHistogram(scale, zero, 0, np.zeros(0, np.uint64), total)
        first, last = int(used[0]), int(used[-1])
        kept = counts[first : last + 1].astype(np.uint64)
        kept.setflags(write=False)
        return ExponentialHistogram(scale, zero, offset + first, kept, total)

    @staticmethod
    def of_buckets(
        buckets: Mapping[int, int], zero: int = 0, total: int = 0, scale: int = SCALE
    ) -> ExponentialHistogram:
        """Returns the histogram with these counts by bucket."""
        if not buckets:
            return ExponentialHistogram(scale, zero, total=total)
        first = min(buckets)
        counts = np.zeros(max(buckets) - first + 1, np.uint64)
        for bucket, count in buckets.items():
            counts[bucket - first] = count
        return ExponentialHistogram.of(counts, first, zero, total, scale)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExponentialHistogram):
            return NotImplemented
        mine, others = (
            (each.scale, each.zero, each.offset, each.counts.tobytes(), each.total) for each in (self, other)
        )
        return mine == others

    def __hash__(self) -> int:
        return hash((self.scale, self.zero, self.offset, self.counts.tobytes(), self.total))

    def __add__(self, other: ExponentialHistogram) -> ExponentialHistogram:
        """Returns the histogram of the calls of both, at the coarser of their scales."""
        scale = min(self.scale, other.scale)
        one, more = self.coarser(scale), other.coarser(scale)
        first, counts, added = _aligned(one, more)
        return ExponentialHistogram.of(
            counts + added, first, self.zero + other.zero, self.total + other.total, scale
        )

    def __sub__(self, earlier: ExponentialHistogram) -> ExponentialHistogram:
        """Returns the histogram of the calls since an earlier state of the same histogram. Raises ValueError
        if it is no earlier state: a count has fallen."""
        first, counts, before = _aligned(self, earlier.coarser(self.scale))
        if self.zero < earlier.zero or bool((counts < before).any()):
            raise ValueError("a count has fallen")
        total = (self.total - earlier.total) % _SUM_MODULUS
        return ExponentialHistogram.of(counts - before, first, self.zero - earlier.zero, total, self.scale)

    @property
    def count(self) -> int:
        """Number of calls."""
        counts: list[int] = self.counts.tolist()
        return self.zero + sum(counts)

    @property
    def mean(self) -> float:
        """Mean duration in ns; 0 without calls. Exact, unlike percentiles."""
        return self.total / self.count if self.count else 0.0

    def buckets(self) -> Iterable[tuple[int, int]]:
        """Yields each bucket with calls, and their number; not those of durations of 0."""
        return ((self.offset + i, count) for i, count in enumerate(self.counts.tolist()) if count)

    def percentile(self, fraction: float) -> Bounds | None:
        """Returns the bounds of the call that at least this part of the calls did not exceed, such as 0.99;
        None without calls."""
        (found,) = self.percentiles((fraction,))
        return found

    def percentiles(self, fractions: Iterable[float]) -> list[Bounds | None]:
        """Returns each percentile."""
        sums = np.cumsum(self.counts, dtype=np.uint64)
        count = self.count
        found: list[Bounds | None] = []
        for fraction in fractions:
            part = _exact(fraction)
            rank = min(max(1, -(-count * part.numerator // part.denominator)), count) - self.zero
            if not count:
                found.append(None)
            elif rank <= 0:
                found.append(NO_TIME)
            else:
                bucket = self.offset + int(np.searchsorted(sums, np.uint64(rank)))
                found.append(bounds_of(bucket, self.scale))
        return found

    @property
    def shortest(self) -> Bounds | None:
        """The bounds of the shortest call; None without calls."""
        return self.percentile(0.0)

    @property
    def longest(self) -> Bounds | None:
        """The bounds of the longest call; None without calls."""
        return self.percentile(1.0)

    def coarser(self, scale: int) -> ExponentialHistogram:
        """Returns the same calls at a smaller scale: each bucket becomes part of a wider one. Raises
        ValueError for a greater scale, or one below MIN_SCALE."""
        if not MIN_SCALE <= scale <= self.scale:
            raise ValueError(f"scale {scale} is not from {MIN_SCALE} to {self.scale}")
        shift = self.scale - scale
        if not shift or not len(self.counts):
            return ExponentialHistogram(scale, self.zero, self.offset, self.counts, self.total)
        first = self.offset >> shift
        wider = (np.arange(len(self.counts)) + self.offset >> shift) - first
        counts = np.zeros(int(wider[-1]) + 1, np.uint64)
        np.add.at(counts, wider, self.counts)
        return ExponentialHistogram.of(counts, first, self.zero, self.total, scale)


NOTHING = ExponentialHistogram()


@cache
def _exact(fraction: float) -> Fraction:
    """Returns the decimal number that is meant: in floating point, 0.9 of 10 calls is more than 9."""
    return Fraction(str(fraction))


def _aligned(one: ExponentialHistogram, other: ExponentialHistogram) -> tuple[int, _U64, _U64]:
    """Returns the first bucket of either, and the counts of both from there on."""
    parts = [each for each in (one, other) if len(each.counts)]
    if not parts:
        return 0, one.counts, other.counts
    first = min(each.offset for each in parts)
    length = max(each.offset + len(each.counts) for each in parts) - first
    padded = []
    for each in (one, other):
        counts = np.zeros(length, np.uint64)
        if len(each.counts):
            counts[each.offset - first : each.offset - first + len(each.counts)] = each.counts
        padded.append(counts)
    return first, padded[0], padded[1]

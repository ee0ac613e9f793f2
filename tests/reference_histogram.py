"""Counts durations in exponential histograms as OpenTelemetry defines them, in exact arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jcollect.exponential_histogram import SCALE, ExponentialHistogram


def bucket_of(duration: int, scale: int = SCALE) -> int:
    """Returns the bucket i of a duration of at least 1 ns: 2^(i/2^scale) < duration <= 2^((i+1)/2^scale)."""
    assert duration >= 1
    # duration^(2^scale) <= 2^(i+1), so i+1 is the logarithm of the power, rounded up.
    return (duration ** (1 << scale) - 1).bit_length() - 1


def histogram_of(durations: Iterable[int]) -> ExponentialHistogram:
    """Returns the histogram of durations in ns."""
    found = list(durations)
    buckets = Counter(bucket_of(duration) for duration in found if duration)
    return ExponentialHistogram.of_buckets(buckets, found.count(0), sum(found))

"""Exponential histograms: their buckets are OpenTelemetry's, and merging and subtracting loses no call."""

from __future__ import annotations

import ctypes
import random
import subprocess
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

from jcollect.exponential_histogram import (
    ERROR_PERCENT,
    MIN_SCALE,
    NO_TIME,
    NOTHING,
    SCALE,
    ExponentialHistogram,
    bounds_of,
    upper_bound,
)
from jcollect.layout.direct import (
    HISTOGRAM_BUCKETS,
    HISTOGRAM_SCALE_FIRST_BUCKET,
    HISTOGRAM_SCALE_SCALE,
    Histogram,
)
from reference_histogram import bucket_of, histogram_of

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "java-agent/src/main/c/direct/histogram.h"
# The longest duration that the native code can measure.
LONGEST = (1 << 63) - 1
BUCKETS = range(HISTOGRAM_SCALE_FIRST_BUCKET, 1008)


def durations(seed: int, count: int = 500) -> list[int]:
    """Returns durations of all magnitudes, some of them 0."""
    numbers = random.Random(seed)
    return [int(2 ** numbers.uniform(0, 40)) * (numbers.random() > 0.05) for _ in range(count)]


def test_the_scale_is_that_of_the_layout() -> None:
    assert SCALE == HISTOGRAM_SCALE_SCALE
    assert len(Histogram().buckets) == len(BUCKETS)
    assert HISTOGRAM_BUCKETS % 8 == 0


def test_every_bound_belongs_to_its_bucket_and_the_next_number_to_the_next_one() -> None:
    """Compares with the definition in exact arithmetic: bound^16 <= 2^(i+1) < (bound+1)^16."""
    for bucket in BUCKETS:
        bound = upper_bound(bucket)
        assert bound**16 <= 2 ** (bucket + 1) < (bound + 1) ** 16
        if bound > upper_bound(bucket - 1):
            assert bucket_of(bound) == bucket
        assert bucket_of(bound + 1) > bucket
        # The next bucket that has an integer at all.
        assert bound + 1 <= upper_bound(bucket_of(bound + 1))
    assert bucket_of(LONGEST) == BUCKETS[-1]


def test_the_native_code_counts_in_the_same_buckets(tmp_path: Path) -> None:
    """Asks the index of every bound, the numbers beside it, and random ones."""
    library = tmp_path / "index.so"
    source = f"""#include "{NATIVE}"
        unsigned index_of(uint64_t value) {{ return histogram_index(value); }}"""
    command = ["gcc", "-shared", "-fPIC", "-O2", f"-I{ROOT}/build/layout/c", "-xc", "-", "-o", str(library)]
    subprocess.run(command, input=source, text=True, check=True)
    index_of = ctypes.CDLL(str(library)).index_of
    index_of.argtypes, index_of.restype = [ctypes.c_uint64], ctypes.c_uint
    numbers = random.Random(7)
    values = {int(2 ** numbers.uniform(0, 63)) for _ in range(20_000)} | set(range(1, 5_000)) | {LONGEST}
    for bucket in BUCKETS:
        values |= {upper_bound(bucket) + step for step in (-1, 0, 1, 2)}
    for value in values:
        if 1 <= value <= LONGEST:
            assert index_of(value) + HISTOGRAM_SCALE_FIRST_BUCKET == bucket_of(value), value


def test_bounds_agree_with_decimal_roots() -> None:
    with localcontext() as context:
        context.prec = 60
        for bucket in BUCKETS:
            exact = Decimal(2) ** (Decimal(bucket + 1) / Decimal(16))
            # 2^(whole number) is rounded in its last digits.
            assert int(exact + Decimal("1e-30")) == upper_bound(bucket)


@pytest.mark.parametrize("scale", range(MIN_SCALE, 9))
def test_the_bounds_of_other_scales_are_exact(scale: int) -> None:
    for exponent in range(40):
        bucket = (exponent << scale if scale >= 0 else exponent >> -scale) - 1
        if scale >= 0:
            assert upper_bound(bucket, scale) == 1 << exponent
        else:
            assert upper_bound(bucket, scale) == 1 << ((bucket + 1) << -scale)


def test_the_middle_of_a_bucket_differs_from_each_of_its_durations_by_at_most_the_stated_error() -> None:
    for bucket in BUCKETS:
        lower, value, upper = bounds_of(bucket)
        assert lower <= value <= upper or lower == upper
        for duration in (lower, upper):
            assert abs(value - duration) / duration * 100 <= ERROR_PERCENT


def test_percentiles_are_those_of_the_sorted_durations_within_the_bounds() -> None:
    for seed in range(20):
        found = durations(seed)
        histogram = histogram_of(found)
        assert histogram.count == len(found)
        assert histogram.total == sum(found)
        assert histogram.mean == sum(found) / len(found)
        found.sort()
        for fraction in (0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
            rank = max(1, -(-round(fraction * 1000) * len(found) // 1000))
            exact = found[rank - 1]
            bounds = histogram.percentile(fraction)
            assert bounds is not None
            assert bounds.lower <= exact <= bounds.upper
        assert histogram.longest == histogram.percentile(1.0)


def test_durations_of_zero_have_a_count_of_their_own() -> None:
    histogram = histogram_of([0, 0, 0, 5])
    assert (histogram.zero, histogram.count) == (3, 4)
    assert histogram.percentile(0.5) == NO_TIME
    assert histogram.shortest == NO_TIME
    assert histogram.longest == (5, 5.0, 5)


def test_a_histogram_without_calls_has_no_percentiles() -> None:
    assert NOTHING.count == 0
    assert NOTHING.mean == 0
    assert NOTHING.percentiles((0.5, 1.0)) == [None, None]
    assert NOTHING + NOTHING == NOTHING
    assert NOTHING - NOTHING == NOTHING
    assert NOTHING.coarser(0).count == 0


def test_merging_is_counting_together_in_any_order() -> None:
    one, other, third = durations(1), durations(2), durations(3, 3)
    merged = histogram_of(one) + histogram_of(other) + histogram_of(third)
    assert merged == histogram_of(one + other + third)
    assert merged == histogram_of(third) + (histogram_of(other) + histogram_of(one))
    assert histogram_of(one) + NOTHING == histogram_of(one)


def test_subtracting_an_earlier_state_gives_the_calls_since() -> None:
    before, since = durations(4), durations(5, 7)
    assert histogram_of(before + since) - histogram_of(before) == histogram_of(since)
    assert histogram_of(before) - histogram_of(before) == NOTHING
    with pytest.raises(ValueError, match="fallen"):
        histogram_of(before) - histogram_of(before + since)
    with pytest.raises(ValueError, match="fallen"):
        NOTHING - histogram_of([0])


def test_a_sum_that_has_wrapped_is_subtracted_modulo_2_to_the_64() -> None:
    earlier = ExponentialHistogram.of_buckets({1007: 2}, total=(1 << 64) - 5)
    later = ExponentialHistogram.of_buckets({1007: 3}, total=7)
    assert (later - earlier).total == 12


def test_coarser_buckets_hold_the_calls_of_the_finer_ones() -> None:
    found = durations(6)
    fine = histogram_of(found)
    for scale in range(MIN_SCALE, SCALE + 1):
        coarse = fine.coarser(scale)
        assert (coarse.count, coarse.total, coarse.zero) == (fine.count, fine.total, fine.zero)
        assert sum(count for _, count in coarse.buckets()) == coarse.count - coarse.zero
        for bucket, count in coarse.buckets():
            low, high = upper_bound(bucket - 1, scale), upper_bound(bucket, scale)
            assert count == sum(low < duration <= high for duration in found if duration)
        assert fine + coarse == coarse + coarse
    with pytest.raises(ValueError, match="scale"):
        fine.coarser(SCALE + 1)


def test_counts_beyond_32_bits_are_exact() -> None:
    many = (1 << 62) + 1
    histogram = ExponentialHistogram.of_buckets({3: many, 9: many, 700: 1})
    assert histogram.count == 2 * many + 1
    assert histogram.percentile(0.25) == bounds_of(3)
    assert histogram.longest == bounds_of(700)


def test_unused_buckets_at_both_ends_are_left_out() -> None:
    counts = np.zeros(1009, np.uint64)
    counts[[17, 40]] = 2, 3
    histogram = ExponentialHistogram.of(counts, -1)
    assert (histogram.offset, len(histogram.counts)) == (16, 24)
    assert dict(histogram.buckets()) == {16: 2, 39: 3}
    assert histogram == ExponentialHistogram.of_buckets({16: 2, 39: 3})

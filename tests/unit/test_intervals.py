"""Confidence intervals of changes: by simulation they hold the true value as often as they say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from jcollect.view.intervals import (
    Change,
    mean_change,
    quantile_change,
    rank_interval,
    rate_change,
    share_change,
    t_quantile,
)

RUNS = 1000
# Three standard errors of a share of 95% in so many runs.
ERROR = 3 * math.sqrt(0.95 * 0.05 / RUNS)
Sample = npt.NDArray[np.float64]


def coverage(change: Callable[[np.random.Generator], Change | None], truth: float, seed: int = 7) -> float:
    """Returns in which share of the runs the interval holds the truth."""
    random = np.random.default_rng(seed)
    held = 0
    for _ in range(RUNS):
        found = change(random)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        held += found.low <= truth <= found.high
    return held / RUNS


def durations(random: np.random.Generator, count: int, scale: float) -> Sample:
    """Durations as they are: most short, some long."""
    return scale * random.lognormal(10, 1, count)


@pytest.mark.parametrize("scale", [1.0, 1.4])
@pytest.mark.parametrize("counts", [(100, 100), (60, 1000)])
def test_the_interval_of_means_holds_their_ratio(scale: float, counts: tuple[int, int]) -> None:
    found = coverage(
        lambda random: mean_change(
            durations(random, counts[0], 1), durations(random, counts[1], scale), 0.95
        ),
        scale,
    )
    # Samples of skewed durations that are this small make it a little too short.
    assert 0.95 - ERROR - 0.02 <= found <= 0.95 + ERROR


@pytest.mark.parametrize("q", [0.5, 0.99])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_interval_of_quantiles_holds_their_ratio(q: float, scale: float) -> None:
    found = coverage(
        lambda random: quantile_change(
            np.sort(durations(random, 700, 1)), np.sort(durations(random, 900, scale)), q, 0.95
        ),
        scale,
    )
    # Ranks are whole numbers: the interval is a little too long.
    assert 0.95 - ERROR <= found <= 0.99


@pytest.mark.parametrize("ratio", [1.0, 1.5])
def test_the_interval_of_rates_holds_their_ratio(ratio: float) -> None:
    """Calls come in bursts, so that slices differ more than if calls were independent."""

    def change(random: np.random.Generator) -> Change | None:
        def calls(rate: float) -> Sample:
            return random.poisson(rate * random.gamma(4, 0.25, 20)).astype(np.float64)

        return rate_change(calls(50), calls(100 * ratio), (10.0, 20.0), 0.95)

    assert 0.95 - ERROR - 0.01 <= coverage(change, ratio) <= 0.95 + ERROR


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.01), (0.002, 0.05), (0.3, 0.4)])
def test_the_interval_of_shares_holds_their_difference(a: float, b: float) -> None:
    found = coverage(
        lambda random: share_change(
            int(random.binomial(800, a)), 800, int(random.binomial(500, b)), 500, 0.95
        ),
        b - a,
    )
    assert 0.95 - ERROR <= found <= 0.99


@pytest.mark.parametrize(
    ("p", "freedom", "expected"),
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 5, 2.571), (0.975, 20, 2.086), (0.995, 10, 3.169)],
)
def test_quantiles_of_t_are_those_of_tables(p: float, freedom: float, expected: float) -> None:
    assert t_quantile(p, freedom) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("count", "q"), [(60, 0.5), (700, 0.99), (100, 0.9)])
def test_ranks_are_those_of_the_binomial_distribution(count: int, q: float) -> None:
    ranks = rank_interval(count, q, 0.95)
    assert ranks is not None
    low, high = ranks
    chances = [math.comb(count, k) * q**k * (1 - q) ** (count - k) for k in range(count + 1)]
    assert sum(chances[:low]) <= 0.025 < sum(chances[: low + 1])
    assert sum(chances[high:]) <= 0.025 < sum(chances[high - 1 :])


def test_too_small_samples_say_nothing() -> None:
    few = np.array([1.0, 2.0, 3.0])
    assert quantile_change(few, few, 0.99, 0.95) == Change(1.0, None, None)
    assert not Change(3.0, None, None).is_different(1.0)
    assert mean_change(few[:1], few, 0.95) == Change(2.0, None, None)
    assert mean_change(few[:0], few, 0.95) is None
    assert share_change(0, 0, 1, 2, 0.95) is None
    assert rate_change(np.zeros(20), np.ones(20), (1.0, 1.0), 0.95) is None

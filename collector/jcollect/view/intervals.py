"""Confidence intervals of changes between two samples, as ratios: by known methods, without randomness.

- Means: the log of their ratio, with its standard error by the delta method and Welch's degrees of freedom.
- Quantiles: each from order statistics (exact, from the binomial distribution), joined on the log scale by
  MOVER.
- Rates: as means, of the calls in equal slices of time; at least the variance that independent calls have.
- Shares: Newcombe's: Wilson's intervals of both, joined by MOVER.

MOVER (method of variance estimates recovery) takes the distance from each estimate to the end of its own
interval as its error in that direction, and adds the squares (Zou and Donner, 2008). Samples count as
independent.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
# Above this variance of a rank the normal distribution is as good as the binomial one.
_NORMAL_VARIANCE = 100.0


class Change(NamedTuple):
    """A change from A to B and its confidence interval: a factor, or of shares a difference. The ends are
    None if the samples are too small."""

    value: float
    low: float | None
    high: float | None

    def is_different(self, nothing: float) -> bool:
        """Returns true if the interval leaves out the value that stands for no change."""
        return self.low is not None and self.high is not None and not self.low <= nothing <= self.high


def mean_change(a: Numbers, b: Numbers, confidence: float) -> Change | None:
    """Returns the factor between the means of two samples of positive numbers; None if one is empty or 0."""
    if not len(a) or not len(b) or not a.any() or not b.any():
        return None
    return _ratio(_moments(a), _moments(b), confidence)


def rate_change(a: Numbers, b: Numbers, seconds: tuple[float, float], confidence: float) -> Change | None:
    """Returns the factor between two rates, given the calls in equal slices of both times, which have so
    many seconds in total; None if there are none."""
    if not a.any() or not b.any() or min(seconds) <= 0:
        return None
    found = []
    for counts in (a, b):
        count, mean, variance = _moments(counts)
        # Calls that come regularly vary less than independent ones; the next ones may not.
        found.append((count, mean, max(variance, mean)))
    change = _ratio(found[0], found[1], confidence)
    scale = (seconds[0] / len(a)) / (seconds[1] / len(b))
    return Change(*(None if each is None else each * scale for each in change))  # type: ignore[arg-type]


def _moments(sample: Numbers) -> tuple[int, float, float]:
    """Returns size, mean and variance; 0 for the variance of a single number."""
    numbers = sample.astype(np.float64)
    variance = float(numbers.var(ddof=1)) if len(numbers) > 1 else 0.0
    return len(numbers), float(numbers.mean()), variance


def _ratio(a: tuple[int, float, float], b: tuple[int, float, float], confidence: float) -> Change:
    ratio = b[1] / a[1]
    if min(a[0], b[0]) < 2:
        return Change(ratio, None, None)
    parts = [variance / (count * mean * mean) for count, mean, variance in (a, b)]
    total = sum(parts)
    if total == 0:
        return Change(ratio, ratio, ratio)
    freedom = total**2 / sum(part**2 / (count - 1) for part, (count, _, _) in zip(parts, (a, b), strict=True))
    factor = math.exp(min(t_quantile((1 + confidence) / 2, freedom) * math.sqrt(total), 700.0))
    return Change(ratio, ratio / factor, ratio * factor)


def quantile_change(a: Numbers, b: Numbers, q: float, confidence: float) -> Change | None:
    """Returns the factor between the quantiles of two sorted samples of durations; None if one is empty."""
    if not len(a) or not len(b):
        return None
    found = []
    for sample in (a, b):
        value = _at_least_1(sample[min(int(q * len(sample)), len(sample) - 1)])
        ranks = rank_interval(len(sample), q, confidence)
        ends = None if ranks is None else [_at_least_1(sample[rank - 1]) for rank in ranks]
        found.append((math.log(value), None if ends is None else [math.log(each) for each in ends]))
    (log_a, ends_a), (log_b, ends_b) = found
    change = math.exp(log_b - log_a)
    if ends_a is None or ends_b is None:
        return Change(change, None, None)
    low = log_b - log_a - math.hypot(log_b - ends_b[0], ends_a[1] - log_a)
    high = log_b - log_a + math.hypot(ends_b[1] - log_b, log_a - ends_a[0])
    return Change(change, math.exp(low), math.exp(high))


def _at_least_1(nanos: Any) -> float:
    return max(float(nanos), 1.0)


def rank_interval(count: int, q: float, confidence: float) -> tuple[int, int] | None:
    """Returns the ranks, from 1, of two elements of a sorted sample between which the quantile is; None if
    the sample is too small to say so."""
    tail = (1 - confidence) / 2
    variance = count * q * (1 - q)
    if variance > _NORMAL_VARIANCE:
        reach = NormalDist().inv_cdf(1 - tail) * math.sqrt(variance)
        low, high = math.floor(count * q - reach), math.ceil(count * q + reach) + 1
    else:
        # The number of elements below the quantile is binomial: its distribution function, from 0 on.
        k = np.arange(1, count + 1)
        logs = np.concatenate([[0.0], np.cumsum(np.log((count - k + 1) / k))])
        logs += np.arange(count + 1) * math.log(q) + np.arange(count, -1, -1) * math.log(1 - q)
        below = np.cumsum(np.exp(logs))
        # P(fewer than low) and P(high or more) are at most the tail.
        low = int(np.searchsorted(below, tail, side="right"))
        high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return (low, high) if low >= 1 and high <= count else None


def share_change(hits_a: int, count_a: int, hits_b: int, count_b: int, confidence: float) -> Change | None:
    """Returns the difference between two shares; None if one is of nothing."""
    if not count_a or not count_b:
        return None
    a, b = hits_a / count_a, hits_b / count_b
    low_a, high_a = _wilson(hits_a, count_a, confidence)
    low_b, high_b = _wilson(hits_b, count_b, confidence)
    return Change(b - a, b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a))


def _wilson(hits: int, count: int, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def t_quantile(p: float, freedom: float) -> float:
    """Returns a quantile of Student's distribution, above the median: exact for 1 and 2 degrees of freedom,
    and from there by the expansion of Cornish and Fisher, to 1% at 3 and 0.1% at 5."""
    if freedom < 1.5:
        return math.tan(math.pi * (p - 0.5))
    if freedom < 2.5:
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(float(term) / freedom ** (number + 1) for number, term in enumerate(terms))

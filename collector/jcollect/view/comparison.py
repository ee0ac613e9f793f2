"""Compares the calls of two times by method: rates, durations and errors, with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jcollect.probes.description import Described
from jcollect.probes.probe import THROW, TIMED_KINDS
from jcollect.sources.columns import Columns
from jcollect.view.formats import location_text, set_text
from jcollect.view.intervals import (
    Change,
    Numbers,
    mean_change,
    quantile_change,
    rate_change,
    share_change,
)

# Durations and times that are kept, of all methods. Beyond, every second one is dropped at random, and so on.
MOST_KEPT = 1 << 24
# A rate varies from one slice of the time to the next.
SLICES = 20
_EMPTY = np.zeros(0, np.uint64)
Key = tuple[str, str]


class Calls:
    """The calls of one time, by method, that is by its name and descriptor. Their processes do not matter.

    Counts are exact. Durations are a random sample if there are too many.
    """

    def __init__(self) -> None:
        self._methods: dict[int, tuple[Key, bool]] = {}
        self._is_timed = np.zeros(0, np.bool_)
        self._durations: dict[Key, list[Numbers]] = {}
        self._times: dict[Key, list[Numbers]] = {}
        self.counts: dict[Key, int] = {}
        self.errors: dict[Key, int] = {}
        self._sums: dict[Key, int] = {}
        self._kept = 0
        self._random = np.random.default_rng(1)
        self._share = 1.0
        self._first = self._last = 0

    @property
    def seconds(self) -> float:
        return max(self._last - self._first, 0) / 1e9

    def lasted(self, first: int, last: int) -> None:
        """Sets the begin and the end of the time, in ns since 1970."""
        self._first, self._last = first, last

    def describe(self, probes: Iterable[Described]) -> None:
        for probe in probes:
            key = (location_text(probe) + set_text(probe), probe.method_descriptor)
            self._methods[probe.id] = (key, probe.kind == THROW)
            if probe.id >= len(self._is_timed):
                more = max(probe.id + 1, 2 * len(self._is_timed)) - len(self._is_timed)
                self._is_timed = np.pad(self._is_timed, (0, more))
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS

    def add(self, columns: Columns, begin: int, end: int) -> None:
        """Adds the calls that ended from `begin` to before `end`, in ns since 1970."""
        times = columns.time_unix_nanos
        within = (times >= np.uint64(begin)) & (times < np.uint64(end))
        if not within.any():
            return
        within &= self._is_timed[columns.probe]
        probes, took, times = columns.probe[within], columns.duration_nanos[within], times[within]
        for number in np.unique(probes).tolist():
            key, is_throw = self._methods[number]
            own = probes == number
            durations, ended = took[own], times[own]
            count = len(durations)
            self.counts[key] = self.counts.get(key, 0) + count
            self._sums[key] = self._sums.get(key, 0) + exact_sum(durations)
            if is_throw:
                self.errors[key] = self.errors.get(key, 0) + count
            if self._share < 1:
                chosen = self._random.random(count) < self._share
                durations, ended = durations[chosen], ended[chosen]
            self._durations.setdefault(key, []).append(durations)
            self._times.setdefault(key, []).append(ended)
            self._kept += len(durations)
        if self._kept > MOST_KEPT:
            self._thin()

    def _thin(self) -> None:
        self._share /= 2
        self._kept = 0
        for key, parts in self._durations.items():
            durations, times = np.concatenate(parts), np.concatenate(self._times[key])
            chosen = self._random.random(len(durations)) < 0.5
            self._durations[key], self._times[key] = [durations[chosen]], [times[chosen]]
            self._kept += len(self._durations[key][0])

    def durations(self, key: Key) -> Numbers:
        """Returns the durations of a method, sorted."""
        parts = self._durations.get(key, [])
        return np.sort(np.concatenate(parts)) if parts else _EMPTY

    def slices(self, key: Key) -> Numbers:
        """Returns the calls of a method in equal slices of the time."""
        parts = self._times.get(key, [])
        times = np.concatenate(parts) if parts else _EMPTY
        span = max(self._last - self._first, 1)
        # A recording may have times before that of its first event.
        part = (times.astype(np.float64) - self._first) / span * SLICES
        counts = np.bincount(np.clip(part, 0, SLICES - 1).astype(np.int64), minlength=SLICES)
        return counts / self._share

    def mean(self, key: Key) -> float | None:
        count = self.counts.get(key, 0)
        return self._sums[key] / count if count else None

    def per_second(self, key: Key) -> float:
        """Time per second that the method took, in ns."""
        return self._sums.get(key, 0) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Quantity:
    """A quantity of a method in A and in B, None if there is none, and its change. `unit` is "/s", "ns" or
    "" for a share."""

    name: str
    unit: str
    a: float | None
    b: float | None
    change: Change | None

    @property
    def nothing(self) -> float:
        """The change that stands for none."""
        return 1.0 if self.unit else 0.0

    @property
    def is_different(self) -> bool:
        return self.change is not None and self.change.is_different(self.nothing)


@dataclass(frozen=True)
class Compared:
    """A method in both times. `total` is the change of the time in ns that it took per second."""

    name: str
    calls: tuple[int, int]
    errors: tuple[int, int]
    total: float
    quantities: Sequence[Quantity]


def compare(a: Calls, b: Calls, confidence: float) -> list[Compared]:
    """Returns all methods, that with the largest change of its total time first."""
    keys = sorted(a.counts.keys() | b.counts.keys())
    names = _names(keys)
    found = [_compared(a, b, key, names[key], confidence) for key in keys]
    return sorted(found, key=lambda each: (-abs(each.total), each.name))


def _names(keys: Sequence[Key]) -> dict[Key, str]:
    """Returns names, with the descriptor if another method has the same name."""
    by_name: dict[str, int] = {}
    for name, _ in keys:
        by_name[name] = by_name.get(name, 0) + 1
    return {key: key[0] + key[1] if by_name[key[0]] > 1 else key[0] for key in keys}


def _compared(a: Calls, b: Calls, key: Key, name: str, confidence: float) -> Compared:
    counts = (a.counts.get(key, 0), b.counts.get(key, 0))
    errors = (a.errors.get(key, 0), b.errors.get(key, 0))
    took = (a.durations(key), b.durations(key))
    rates = [n / each.seconds if each.seconds > 0 else None for n, each in zip(counts, (a, b), strict=True)]
    rate = rate_change(a.slices(key), b.slices(key), (a.seconds, b.seconds), confidence)
    quantities = [
        Quantity("rate", "/s", rates[0], rates[1], rate),
        Quantity("mean", "ns", a.mean(key), b.mean(key), mean_change(took[0], took[1], confidence)),
    ]
    for label, q in (("median", 0.5), ("p99", 0.99)):
        change = quantile_change(took[0], took[1], q, confidence)
        quantities.append(Quantity(label, "ns", _quantile(took[0], q), _quantile(took[1], q), change))
    if any(errors):
        shares = [hits / n if n else None for hits, n in zip(errors, counts, strict=True)]
        change = share_change(errors[0], counts[0], errors[1], counts[1], confidence)
        quantities.append(Quantity("error_rate", "", shares[0], shares[1], change))
    return Compared(name, counts, errors, b.per_second(key) - a.per_second(key), quantities)


def _quantile(sample: Numbers, q: float) -> float | None:
    return float(sample[min(int(q * len(sample)), len(sample) - 1)]) if len(sample) else None


def quantity_json(each: Quantity) -> dict[str, Any]:
    """Returns a quantity as the value of JSON."""
    change = each.change
    return {
        "a": each.a,
        "b": each.b,
        "change": None if change is None else change.value,
        "low": None if change is None else change.low,
        "high": None if change is None else change.high,
        "is_different": each.is_different,
    }


def exact_sum(durations: Numbers) -> int:
    """Returns the sum of 64-bit numbers, which may need more bits."""
    numbers = durations.astype(np.uint64, copy=False)
    high, low = numbers >> np.uint64(32), numbers & np.uint64(0xFFFFFFFF)
    return (int(high.sum()) << 32) + int(low.sum())

"""Calls, errors and latencies by method, from the stream of events: what `jcollect top` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.probes.description import Described
from jcollect.probes.probe import THROW, TIMED_KINDS
from jcollect.sources.columns import Columns
from jcollect.view.formats import what_text
from jcollect.view.histogram import Histograms

_Key = tuple[str, int, str]

# Each method has a histogram of 4 KiB.
MOST_METHODS = 1 << 17
# 146 years: no sum of real durations reaches that.
_MOST_NANOS = 2.0**62


@dataclass(frozen=True)
class MethodSummary:
    """One method. p50, p99 and total in ns; None where only entries are streamed."""

    name: str
    calls: int
    errors: int
    p50: float | None
    p99: float | None
    total: int | None


class Summary:
    """Adds up events. A call counts once, when it ends; where only its entry is streamed, then.

    What a mark says is a call too, of which nobody knows how long it took.
    """

    def __init__(self, probes: Iterable[Described] = ()) -> None:
        self._methods: dict[_Key, int] = {}
        self._names: list[str] = []
        # By probe id.
        self._method = np.zeros(0, np.int64)
        self._is_throw = np.zeros(0, np.bool_)
        self._is_timed = np.zeros(0, np.bool_)
        # By method.
        self._timed = np.zeros(0, np.bool_)
        self.clear()
        self.describe(probes)

    def clear(self) -> None:
        """Begins anew."""
        count = len(self._names)
        self.events = 0
        self._calls = np.zeros(count, np.int64)
        self._errors = np.zeros(count, np.int64)
        self._total = np.zeros(count, np.int64)
        self._latencies = Histograms(count)

    def describe(self, probes: Iterable[Described]) -> None:
        """The probes of a schema: the stream's first message, or a later one."""
        new = list(probes)
        size = max((probe.id + 1 for probe in new), default=0)
        self._method = _longer(self._method, size)
        self._is_throw = _longer(self._is_throw, size)
        self._is_timed = _longer(self._is_timed, size)
        for probe in new:
            key = _key(probe)
            self._method[probe.id] = self._methods.setdefault(key, len(self._methods))
            self._is_throw[probe.id] = probe.kind == THROW
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS
        count = len(self._methods)
        if count > MOST_METHODS:
            raise JcollectError(
                f"cannot add up the calls of more than {MOST_METHODS:,} methods; narrow them with --probe"
            )
        self._timed = _longer(self._timed, count)
        for probe in new:
            if probe.kind in TIMED_KINDS:
                self._timed[self._method[probe.id]] = True
        self._calls = _longer(self._calls, count)
        self._errors = _longer(self._errors, count)
        self._total = _longer(self._total, count)
        self._latencies.grow(count)
        self._names = _names(list(self._methods))

    def add(self, columns: Columns) -> None:
        """Adds a batch."""
        self.events += len(columns)
        ended = self._is_timed[columns.probe]
        method = self._method[columns.probe]
        count = len(self._names)
        counted = ended | ~self._timed[method]
        self._calls += np.bincount(method[counted], minlength=count)
        self._errors += np.bincount(method[self._is_throw[columns.probe]], minlength=count)
        if not ended.any():
            return
        took = columns.duration_nanos[ended]
        # In floating point a sum is exact up to 2**53 ns, 104 days for one batch.
        sums = np.bincount(method[ended], took.astype(np.float64), count)
        self._total += np.minimum(sums, _MOST_NANOS).astype(np.int64)
        self._latencies.add(method[ended], took)

    def methods(self) -> list[MethodSummary]:
        """Methods that were called, those called most first."""
        order = np.argsort(-self._calls, kind="stable")
        return [self._one(int(method)) for method in order if self._calls[method]]

    def _one(self, method: int) -> MethodSummary:
        p50 = p99 = total = None
        if self._timed[method]:
            found = self._latencies.percentiles(method, (0.5, 0.99))
            if found is not None:
                p50, p99 = found
                total = int(self._total[method])
        return MethodSummary(
            self._names[method], int(self._calls[method]), int(self._errors[method]), p50, p99, total
        )


def _key(probe: Described) -> _Key:
    """The same for all probes of one method: what it is called, its class loader, and its descriptor."""
    return (what_text(probe), probe.class_loader_id, probe.descriptor)


def _names(methods: list[_Key]) -> list[str]:
    """As what_text says it, with the parameters' descriptor where that occurs more than once."""
    often = Counter(what for what, _, _ in methods)
    return [what if often[what] == 1 else f"{what}{descriptor}" for what, _, descriptor in methods]


def _longer(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """With zeros at its end, so that it has at least so many elements."""
    missing = max(0, size - len(array))
    return np.concatenate([array, np.zeros(missing, array.dtype)])

"""Sums up calls, errors and latencies by method, for `jcollect top`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.probes.description import Described
from jcollect.probes.probe import KIND_NAMES, THROW, TIMED_KINDS
from jcollect.sources.columns import Columns
from jcollect.view.formats import location_text, set_text
from jcollect.view.histogram import Histograms

MethodId = tuple[int, str, int, str, str]

# Each method has a histogram of 4 KiB.
MOST_METHODS = 1 << 17
# 146 years, more than any sum of real durations.
_MOST_NANOS = 2.0**62


@dataclass(frozen=True)
class MethodSummary:
    """One method of one process. p50, p99, total and max are in ns; None if only entry probes are
    streamed."""

    name: str
    calls: int
    errors: int
    p50: float | None
    p99: float | None
    total: int | None
    max: int | None = None
    pid: int = 0

    @property
    def mean(self) -> float | None:
        """The mean duration of a call, in ns."""
        return None if self.total is None else self.total / self.calls


class Summary:
    """Sums up events. A call counts once, when it ends; or when it begins, if only entry probes are streamed.

    An event of a mark counts as a call of unknown duration.
    """

    def __init__(self, probes: Iterable[Described] = ()) -> None:
        self._methods: dict[MethodId, int] = {}
        self._names: list[str] = []
        self._pids: list[int] = []
        # Arrays by probe ID.
        self._method = np.zeros(0, np.int64)
        self._is_throw = np.zeros(0, np.bool_)
        self._is_timed = np.zeros(0, np.bool_)
        # False for kinds that only a later version knows.
        self._is_known = np.zeros(0, np.bool_)
        # Arrays by method.
        self._timed = np.zeros(0, np.bool_)
        self.clear()
        self.describe(probes)

    @property
    def has_several_processes(self) -> bool:
        return len(set(self._pids)) > 1

    def clear(self) -> None:
        """Resets all sums, and keeps the probes."""
        count = len(self._names)
        self.events = 0
        self._calls = np.zeros(count, np.int64)
        self._errors = np.zeros(count, np.int64)
        self._total = np.zeros(count, np.int64)
        self._max = np.zeros(count, np.uint64)
        self._latencies = Histograms(count)

    def describe(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema. Raises JcollectError for too many methods."""
        new = list(probes)
        size = max((probe.id + 1 for probe in new), default=0)
        self._method = _longer(self._method, size)
        self._is_throw = _longer(self._is_throw, size)
        self._is_timed = _longer(self._is_timed, size)
        self._is_known = _longer(self._is_known, size)
        for probe in new:
            key = key_of(probe)
            self._method[probe.id] = self._methods.setdefault(key, len(self._methods))
            self._is_throw[probe.id] = probe.kind == THROW
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS
            self._is_known[probe.id] = probe.kind in KIND_NAMES
        count = len(self._methods)
        if count > MOST_METHODS:
            raise JcollectError(
                f"cannot sum up the calls of more than {MOST_METHODS:,} methods; select fewer with --probe"
            )
        self._timed = _longer(self._timed, count)
        for probe in new:
            if probe.kind in TIMED_KINDS:
                self._timed[self._method[probe.id]] = True
        self._calls = _longer(self._calls, count)
        self._errors = _longer(self._errors, count)
        self._total = _longer(self._total, count)
        self._max = _longer(self._max, count)
        self._latencies.grow(count)
        self._names = names_of(list(self._methods))
        self._pids = [pid for pid, *_ in self._methods]

    def add(self, columns: Columns) -> None:
        """Adds a batch."""
        self.events += len(columns)
        ended = self._is_timed[columns.probe]
        method = self._method[columns.probe]
        count = len(self._names)
        counted = (ended | ~self._timed[method]) & self._is_known[columns.probe]
        self._calls += np.bincount(method[counted], minlength=count)
        self._errors += np.bincount(method[self._is_throw[columns.probe]], minlength=count)
        if not ended.any():
            return
        took = columns.duration_nanos[ended]
        # Floating-point sums are exact up to 2**53 ns, which is 104 days per batch.
        sums = np.bincount(method[ended], took.astype(np.float64), count)
        self._total += np.minimum(sums, _MOST_NANOS).astype(np.int64)
        np.maximum.at(self._max, method[ended], took)
        self._latencies.add(method[ended], took)

    def methods(self) -> list[MethodSummary]:
        """Returns the methods that were called, in descending order of calls."""
        order = np.argsort(-self._calls, kind="stable")
        return [self._one(int(method)) for method in order if self._calls[method]]

    def _one(self, method: int) -> MethodSummary:
        p50 = p99 = total = longest = None
        if self._timed[method]:
            found = self._latencies.percentiles(method, (0.5, 0.99))
            if found is not None:
                total = int(self._total[method])
                longest = int(self._max[method])
                # The middle of the last bucket may lie above the longest call.
                p50, p99 = (min(each, float(longest)) for each in found)
        return MethodSummary(
            self._names[method],
            int(self._calls[method]),
            int(self._errors[method]),
            p50,
            p99,
            total,
            longest,
            self._pids[method],
        )


def key_of(probe: Described) -> MethodId:
    """Returns what identifies a method: its process, its name with class, its class loader, its descriptor,
    and its set of probes. A call counts once in each set."""
    return (probe.pid, location_text(probe), probe.class_loader_id, probe.method_descriptor, set_text(probe))


def names_of(methods: list[MethodId]) -> list[str]:
    """Returns the names of methods, with the descriptor if several methods of a process have the same
    name."""
    occurrences = Counter((pid, name) for pid, name, _, _ in {method[:4] for method in methods})
    return [
        f"{name}{descriptor if occurrences[pid, name] > 1 else ''}{chosen}"
        for pid, name, _, descriptor, chosen in methods
    ]


def _longer(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Returns the array, padded with zeros to at least `size` elements."""
    missing = max(0, size - len(array))
    return np.concatenate([array, np.zeros(missing, array.dtype)])

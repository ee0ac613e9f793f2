"""Calls, errors and latencies by method, from the stream of events: what `jcollect top` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.discovery.probes import ENTRY, THROW
from jcollect.stream.columns import Columns
from jcollect.stream.histogram import Histograms
from jprobe.v1 import collector_pb2


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
    """Adds up events. A call counts once, when it ends; where only its entry is streamed, then."""

    def __init__(self, probes: Sequence[collector_pb2.Probe]) -> None:
        """`probes` from the schema."""
        methods: dict[tuple[str, int, str, str], int] = {}
        size = max((probe.id for probe in probes), default=0) + 1
        self._method = np.zeros(size, np.int64)
        self._is_throw = np.zeros(size, np.bool_)
        self._is_entry = np.zeros(size, np.bool_)
        for probe in probes:
            key = (probe.class_name, probe.class_loader_id, probe.method, probe.descriptor)
            self._method[probe.id] = methods.setdefault(key, len(methods))
            self._is_throw[probe.id] = probe.kind == THROW
            self._is_entry[probe.id] = probe.kind == ENTRY
        self._names = _names(list(methods))
        self._timed = np.zeros(len(methods), np.bool_)
        for probe in probes:
            if probe.kind != ENTRY:
                self._timed[self._method[probe.id]] = True
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        count = len(self._names)
        self.events = 0
        self._calls = np.zeros(count, np.int64)
        self._errors = np.zeros(count, np.int64)
        self._total = np.zeros(count, np.int64)
        self._latencies = Histograms(count)

    def add(self, columns: Columns) -> None:
        """Adds a batch."""
        self.events += len(columns)
        entry = self._is_entry[columns.probe]
        method = self._method[columns.probe]
        count = len(self._names)
        counted = ~entry | ~self._timed[method]
        self._calls += np.bincount(method[counted], minlength=count)
        self._errors += np.bincount(method[self._is_throw[columns.probe]], minlength=count)
        if entry.all():
            return
        ended = ~entry
        took = columns.duration_nanos[ended]
        # In floating point a sum is exact up to 2**53 ns, 104 days for one batch.
        self._total += np.bincount(method[ended], took.astype(np.float64), count).astype(np.int64)
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


def _names(methods: list[tuple[str, int, str, str]]) -> list[str]:
    """class#method, with the parameters' descriptor where that name occurs more than once."""
    plain = [f"{class_name}#{method}" for class_name, _, method, _ in methods]
    return [
        name if plain.count(name) == 1 else f"{name}{descriptor}"
        for name, (_, _, _, descriptor) in zip(plain, methods, strict=True)
    ]

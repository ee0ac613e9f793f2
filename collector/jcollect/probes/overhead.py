"""Reads the cost of all probes of a process and the overhead limit, as its agent reports them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.layout import gate as layout
from jcollect.probes.probe import LIMIT
from jcollect.probes.sections import read_section
from jcollect.probes.stub_library import Section, StubLibrary

_SECOND_NS = 1_000_000_000
_WINDOW_SECONDS = 5


@dataclass(frozen=True)
class Overhead:
    """The cost of all probes of the process, for all tracers together, at one moment (overhead in
    layout/gate.toml).

    `hit_ns` is the average cost of the last firings in ns, and 0 if none was measured yet. `recent_ns` is the
    cost in the last five seconds, `total_ns` the cost since the agent started. Percentages are of one core.
    `max_percent` is the limit; 0 means none. `asked_percent` is the requested limit: it is higher if the
    process can get too little CPU time for it. `max_percent_now` is lower than the limit while the process
    gets little CPU time. `available_ns` is the CPU time that it can get per second; 0 if unknown.
    `histograms` is the number of the process's file descriptor of the histograms, and None if it has none;
    `rings` that of the rings, `stacks` that of the captured stacks.
    """

    max_percent: int
    hit_ns: int
    total_ns: int
    recent_ns: int
    throttled_methods: int
    asked_percent: int
    available_ns: int
    max_percent_now: float
    histograms: int | None = None
    rings: int | None = None
    stacks: int | None = None

    @property
    def percent(self) -> float:
        """Cost in the last five seconds, in percent of one core."""
        return percent_of_a_core(self.recent_ns, _WINDOW_SECONDS)


def percent_of_a_core(cost_ns: int, seconds: float) -> float:
    return cost_ns / max(seconds, 1e-9) / _SECOND_NS * 100


def firing_text(prefix: str, hit_ns: int) -> str:
    """Returns the cost per firing after `prefix`; "" if it is unknown."""
    return f"{prefix}{hit_ns:,} ns per firing" if hit_ns else ""


def find_guarded(libraries: Sequence[StubLibrary]) -> StubLibrary | None:
    """Returns the first library of the running agent; None if there is no agent."""
    guarded = [library for library in libraries if _has_limits(library)]
    return max(guarded, key=lambda library: library.image.manifest.generation, default=None)


def _has_limits(library: StubLibrary) -> bool:
    manifest = library.image.manifest
    return library.is_agents and len(manifest.probes) > 0 and manifest.probes[0].kind == LIMIT


def read_overhead(library: StubLibrary) -> Overhead:
    """Reads the cost from the library that `find_guarded` returned. Raises OSError."""
    gate = library.image.manifest.probes[0].method
    address = library.image.gates.address + layout.GATE_SIZE * gate
    block = read_section(library, Section(address, layout.GATE_SIZE))
    found = layout.Overhead.from_buffer_copy(block)
    return Overhead(
        max_percent=_percent(found.limit),
        hit_ns=found.firing_nanos,
        total_ns=found.total,
        # The process can claim any time. More than all CPUs together is impossible.
        recent_ns=min(found.recent, _WINDOW_SECONDS * _SECOND_NS * (os.cpu_count() or 1)),
        throttled_methods=found.throttled_methods,
        # Agents that do not know quotas report 0.
        asked_percent=_percent(found.requested or found.limit),
        available_ns=found.available,
        max_percent_now=(found.limit_now or found.limit) * 100 / _SECOND_NS,
        histograms=found.histograms - 1 if found.histograms else None,
        rings=found.rings - 1 if found.rings else None,
        stacks=found.stacks - 1 if found.stacks else None,
    )


def _percent(limit_ns: int) -> int:
    """Returns at least 1, because 0 means no limit. An untrusted process may report any limit, and messages
    have 32 bits for it."""
    return min(max(round(limit_ns * 100 / _SECOND_NS), 1), 0xFFFFFFFF) if limit_ns else 0

"""What an agent tells of its process as a whole: what the probes cost, and what they may cost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.layout import gate as layout
from jcollect.probes.live import read_section
from jcollect.probes.probe import LIMIT
from jcollect.probes.stub_library import Section, StubLibrary

_SECOND_NS = 1_000_000_000
_WINDOW_SECONDS = 5


@dataclass(frozen=True)
class Overhead:
    """Of one moment, of all probes of the process and all tracers (overhead in layout/gate.toml), in ns.

    `recent_ns` is that of the last five seconds, `total_ns` that since the agent started. Percentages are of
    one core. `max_percent` is the limit, and 0 none; `asked_percent` is more where the process can get so
    little CPU time that less is right, and `max_percent_now` is less where it gets so little. `available_ns`
    is what it can get in a second; 0 where that is not known.
    """

    max_percent: int
    hit_ns: int
    total_ns: int
    recent_ns: int
    throttled_methods: int
    asked_percent: int
    available_ns: int
    max_percent_now: float

    @property
    def percent(self) -> float:
        """The last five seconds, in percent of one core."""
        return percent_of_a_core(self.recent_ns, _WINDOW_SECONDS)


def percent_of_a_core(cost_ns: int, seconds: float) -> float:
    return cost_ns / max(seconds, 1e-9) / _SECOND_NS * 100


def find_guarded(libraries: Sequence[StubLibrary]) -> StubLibrary | None:
    """The library with which the agent that is there has begun; None where there is no agent."""
    guarded = [library for library in libraries if _has_limits(library)]
    return max(guarded, key=lambda library: library.image.manifest.generation, default=None)


def _has_limits(library: StubLibrary) -> bool:
    manifest = library.image.manifest
    return library.is_agents and len(manifest.probes) > 0 and manifest.probes[0].kind == LIMIT


def read_overhead(library: StubLibrary) -> Overhead:
    """Of the process that `find_guarded` has given the library of. Raises OSError."""
    gate = library.image.manifest.probes[0].method
    address = library.image.gates.address + layout.GATE_SIZE * gate
    block = read_section(library, Section(address, layout.GATE_SIZE))
    told = layout.Overhead.from_buffer_copy(block)
    return Overhead(
        max_percent=_percent(told.limit),
        hit_ns=told.firing_nanos,
        total_ns=told.total,
        # The process can claim any time, but no more than all CPUs together is possible.
        recent_ns=min(told.recent, _WINDOW_SECONDS * _SECOND_NS * (os.cpu_count() or 1)),
        throttled_methods=told.throttled_methods,
        # Agents that know of no quotas say 0 of them.
        asked_percent=_percent(told.requested or told.limit),
        available_ns=told.available,
        max_percent_now=(told.limit_now or told.limit) * 100 / _SECOND_NS,
    )


def _percent(limit_ns: int) -> int:
    """At least 1, for 0 is no limit; what a hostile process may say is anything, and what is told of it has
    32 bits."""
    return min(max(round(limit_ns * 100 / _SECOND_NS), 1), 0xFFFFFFFF) if limit_ns else 0

"""Formats parts of lines for people: names, durations and gates."""

from __future__ import annotations

import re

from jcollect.probes.description import Described
from jcollect.probes.probe import MARK


def location_text(probe: Described) -> str:
    """Returns the method of a probe, as in "com.acme.Orders#place"; for a mark its own name,
    "orders:placed"."""
    if probe.kind == MARK:
        return f"{probe.provider}:{probe.name}"
    return f"{probe.class_name}#{probe.method}"


def set_text(probe: Described) -> str:
    """Returns a text such as " (set 2)" for a probe that is not in the first set of its method: a method has
    one set of probes for each way in which it is selected."""
    found = re.search(r"__set(\d+)__[a-z]+$", probe.name[-32:]) if probe.kind != MARK else None
    return f" (set {found[1]})" if found else ""


def duration_text(nanos: float) -> str:
    """Returns a duration with three digits, as in "340ns", "1.83us", "12.5ms", "2.04s"."""
    for unit, size in (("ns", 1), ("us", 1_000), ("ms", 1_000_000)):
        if nanos < 999.5 * size:
            value = nanos / size
            digits = 0 if size == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f}{unit}"
    return f"{nanos / 1e9:.2f}s"


def short_text(nanos: int) -> str:
    """Returns a clause about rings that were too small for a flight recorder."""
    return (
        f"the rings held only the last {duration_text(nanos)} before a trigger; with a larger ring-size, an "
        "option of the agent, they hold more"
    )


def gate_text(least_duration_nanos: int, every: int, per_second: int) -> str:
    """Returns a gate in selector syntax: "duration > 20ms every 100 at most 20/s"; empty if it passes all
    calls."""
    parts = []
    if least_duration_nanos:
        # "> 20ms" is stored as at least 20,000,001 ns.
        least, above = exact_duration(least_duration_nanos), exact_duration(least_duration_nanos - 1)
        parts.append(f"duration > {above}" if len(above) < len(least) else f"duration >= {least}")
    if every > 1:
        parts.append(f"every {every}")
    if per_second:
        parts.append(f"at most {per_second}/s")
    return " ".join(parts)


def exact_duration(nanos: int) -> str:
    """Returns a duration as a whole number in the largest possible unit, as in "1500us"."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if nanos and nanos % size == 0:
            return f"{nanos // size}{unit}"
    return f"{nanos}ns"

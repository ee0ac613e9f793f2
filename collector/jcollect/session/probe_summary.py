"""Sums up the probes of a session by state and attach point, and finds those with the most hits, without
describing all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.probes.description import ProbeDescription
from jcollect.probes.live import LiveProbe
from jcollect.probes.probe import MARK
from jcollect.session.probe_group import ProbeGroup
from jcollect.session.status import LinkedProbes
from jcollect.sources.columns import U64
from jprobe.v1 import probe_pb2

_ARMED = probe_pb2.PROBE_STATE_ARMED
# Maximum number of examples.
_NAMED = 3

Libraries = Iterable[tuple[ProbeGroup, Sequence[LiveProbe]]]


@dataclass(frozen=True)
class ProbeSummary:
    """`top` are the probes with the most hits, with their groups; `linked` sums up those that are linked.
    `matching` is the number of all."""

    top: list[tuple[ProbeGroup, LiveProbe]]
    linked: list[LinkedProbes]
    matching: int


def summarize(
    libraries: Libraries,
    pids: Collection[int],
    matches: Callable[[ProbeDescription], bool] | None,
    hits: U64,
    most: int,
) -> ProbeSummary:
    """Sums up the probes of the processes, or of all if there are no `pids`, that match. `hits` are counts by
    probe ID. Raises TooCostlyError as `matches` does."""
    found: list[tuple[ProbeGroup, LiveProbe]] = []
    by_kind: dict[tuple[int, int], list[LiveProbe]] = {}
    for group, probes in libraries:
        if pids and group.binary.process.pid not in pids:
            continue
        wanted = probes if matches is None else [one for one in probes if matches(one.describe())]
        found += [(group, one) for one in wanted]
        if group.is_armed:
            point = group.attach_point
            for one in wanted:
                state = _ARMED if one.probe.kind == MARK else one.state
                by_kind.setdefault((state, point), []).append(one)
    of_found = hits[[one.id for _, one in found]] if found else np.zeros(0, np.uint64)
    # Lower IDs come first among probes with equally many hits.
    ids = np.array([one.id for _, one in found], np.int64)
    order = np.lexsort((ids, np.iinfo(np.uint64).max - of_found))[:most]
    linked = [
        LinkedProbes(state, point, len(probes), [_name(one) for one in probes[:_NAMED]])
        for (state, point), probes in sorted(by_kind.items(), key=lambda item: item[0])
    ]
    return ProbeSummary([found[int(i)] for i in order], linked, len(found))


def _name(live: LiveProbe) -> str:
    return f"{live.probe.provider}:{live.probe.name}"

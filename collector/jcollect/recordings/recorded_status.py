"""The status of a recorded collector: the hit counts of the recording, as a collector reports its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, fields

from jcollect.hub.accounts import Totals
from jcollect.hub.subscription import SubscriberCounts
from jcollect.probes.description import ProbeDescription
from jcollect.recordings.overview import Overview, description_of
from jcollect.session.status import LinkedProbes, Overhead, ProbeStatus, ProcessStatus, Status
from jprobe.v1 import collector_pb2

# Link type of probes of which a recording has no hit counts.
RECORDED = "recording"
_EXAMPLES = 3
_COUNTS = {
    "hits": "hits",
    "delivered": "delivered",
    "filtered": "filtered",
    "lost_in_ring": "lost_in_kernel_ring",
    "lost_in_collector": "lost_in_collector",
    "throttled": "throttled",
    "throttled_ns": "throttled_nanos",
    "counted": "counted",
    "lost_in_direct_rings": "lost_in_direct_rings",
}
assert set(_COUNTS) == {field.name for field in fields(Totals)}


def probe_statuses(overview: Overview, replayed: Callable[[list[int]], list[Totals]]) -> list[ProbeStatus]:
    """Returns all probes with their hit counts, ordered by ID: those of the recording; without them, those
    `replayed` so far, which returns the counts of IDs."""
    recorded = overview.status
    found = {}
    for each in recorded.probes if recorded else ():
        found[each.probe.id] = ProbeStatus(
            description_of(each.probe), _totals(each.counts), each.is_linked, each.attach_point
        )
    rest = sorted(overview.probes.keys() - found.keys())
    for number, totals in zip(rest, replayed(rest), strict=True):
        found[number] = ProbeStatus(overview.probes[number], totals, False, 0)
    return [found[number] for number in sorted(found)]


def status_of(
    overview: Overview,
    replayed: Totals,
    probes: Sequence[ProbeStatus],
    subscribers: Sequence[SubscriberCounts],
    lost_by_disconnected: int,
) -> Status:
    """Returns the status as recorded last; with `replayed` for its hit counts if none were recorded."""
    recorded = overview.status or collector_pb2.GetStatusResponse(
        version=overview.header.version, link=RECORDED, started_unix_nanos=overview.header.created_unix_nanos
    )
    return Status(
        version=recorded.version,
        pid=recorded.pid,
        started_unix_nanos=recorded.started_unix_nanos,
        cpu_nanos=recorded.cpu_nanos,
        link=recorded.link,
        ring_bytes=recorded.ring_bytes,
        ring_used_bytes=0,
        out_of_order=recorded.out_of_order,
        clock_set_nanos=recorded.clock_set_nanos,
        counts=_totals(recorded.counts) if overview.status else replayed,
        processes=[_process(each) for each in recorded.processes],
        probes=probes,
        subscribers=subscribers,
        lost_by_gone_subscribers=lost_by_disconnected,
    )


def linked_probes(probes: Iterable[ProbeStatus]) -> list[LinkedProbes]:
    """Returns the linked probes by state and attach point."""
    names = defaultdict(list)
    for each in probes:
        if each.is_linked:
            description = each.description
            names[description.state, each.attach_point].append(f"{description.provider}:{description.name}")
    return [
        LinkedProbes(state, point, len(found), found[:_EXAMPLES]) for (state, point), found in names.items()
    ]


def pids_of(probes: Iterable[ProbeDescription]) -> set[int]:
    return {probe.pid for probe in probes}


def _totals(counts: collector_pb2.HitCounts) -> Totals:
    return Totals(**{name: getattr(counts, field) for name, field in _COUNTS.items()})


def _process(process: collector_pb2.AttachedProcess) -> ProcessStatus:
    cost = process.overhead
    overhead = Overhead(**{field.name: getattr(cost, field.name) for field in fields(Overhead)})
    return ProcessStatus(
        process.pid,
        process.name,
        process.libraries,
        process.probes,
        process.armed,
        process.throttled,
        overhead if process.HasField("overhead") else None,
        _totals(process.counts),
        process.direct_probes,
        process.why_not_direct,
        process.stacks,
        process.lost_stacks,
    )


def most_hits(probes: Sequence[ProbeStatus], top: int) -> list[ProbeStatus]:
    """Returns the probes with the most hits, in descending order."""
    return sorted(probes, key=lambda each: (-astuple(each.counts)[0], each.description.id))[:top]

"""Builds the protocol's messages about a session. Clamps numbers from targets to what fits."""

from __future__ import annotations

from jcollect.hub.accounts import Totals
from jcollect.probes.live import LiveProbe
from jcollect.session.cost import Cost
from jcollect.session.tracee import Tracee
from jcollect.sources.bpf.attached import Attached
from jprobe.v1 import collector_pb2, probe_pb2

_MOST_U64 = (1 << 64) - 1

Libraries = list[tuple[Attached, list[LiveProbe]]]


def hit_counts_message(totals: Totals) -> collector_pb2.HitCounts:
    return collector_pb2.HitCounts(
        hits=_u64(totals.hits),
        delivered=_u64(totals.delivered),
        filtered=_u64(totals.filtered),
        lost_in_kernel_ring=_u64(totals.lost_in_ring),
        lost_in_collector=_u64(totals.lost_in_collector),
        throttled=_u64(totals.throttled),
        throttled_nanos=_u64(totals.throttled_ns),
    )


def _u64(number: int) -> int:
    """Returns the closest number that fits the message's 64 bits."""
    return min(max(number, 0), _MOST_U64)


def process_message(tracee: Tracee, libraries: Libraries, share: Totals) -> collector_pb2.AttachedProcess:
    linked = [one for each, probes in libraries if each.is_linked for one in probes]
    return collector_pb2.AttachedProcess(
        pid=tracee.pid,
        name=tracee.name,
        libraries=sum(each.is_linked for each, _ in libraries),
        probes=sum(len(probes) for _, probes in libraries),
        armed=sum(one.state == probe_pb2.PROBE_STATE_ARMED for one in linked),
        throttled=sum(one.state == probe_pb2.PROBE_STATE_THROTTLED for one in linked),
        overhead=_overhead(tracee.cost),
        counts=hit_counts_message(share),
    )


def _overhead(cost: Cost) -> collector_pb2.Overhead | None:
    now = cost.last
    if now is None:
        return None
    return collector_pb2.Overhead(
        hit_nanos=now.hit_ns,
        recent_nanos=now.recent_ns,
        cost_nanos=_u64(cost.total_ns),
        elapsed_nanos=_u64(cost.elapsed_ns),
        max_percent=now.max_percent,
        asked_percent=now.asked_percent,
        available_nanos=now.available_ns,
        max_percent_now=now.max_percent_now,
    )

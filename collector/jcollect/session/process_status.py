"""The status of one process of a session as plain values."""

from __future__ import annotations

from jcollect.errors import JcollectError
from jcollect.hub.accounts import Totals
from jcollect.probes.live import LiveProbe
from jcollect.session.cost import Cost
from jcollect.session.probe_group import ProbeGroup
from jcollect.session.status import Overhead, ProcessStatus
from jcollect.session.tracee import Tracee
from jprobe.v1 import probe_pb2

# Groups with their probes.
Libraries = list[tuple[ProbeGroup, list[LiveProbe]]]


def process_status(
    tracee: Tracee, libraries: Libraries, share: Totals, stacks: tuple[int, int] = (0, 0)
) -> ProcessStatus:
    """Returns the status of a process with these libraries, its share of the hit counts, and how many stacks
    it has captured and lost."""
    linked = [one for each, probes in libraries if each.is_armed for one in probes]
    return ProcessStatus(
        pid=tracee.pid,
        name=tracee.name,
        libraries=sum(each.is_armed for each, _ in libraries),
        probes=sum(len(probes) for _, probes in libraries),
        armed=sum(one.state == probe_pb2.PROBE_STATE_ARMED for one in linked),
        throttled=sum(one.state == probe_pb2.PROBE_STATE_THROTTLED for one in linked),
        overhead=_overhead(tracee.cost),
        counts=share,
        direct_probes=sum(len(probes) for each, probes in libraries if each.is_armed and each.is_direct),
        why_not_direct=tracee.why_not_preferred,
        stacks=stacks[0],
        lost_stacks=stacks[1],
    )


def _overhead(cost: Cost) -> Overhead | None:
    now = cost.last
    if now is None:
        return None
    return Overhead(
        hit_nanos=now.hit_ns,
        recent_nanos=now.recent_ns,
        cost_nanos=cost.total_ns,
        elapsed_nanos=cost.elapsed_ns,
        max_percent=now.max_percent,
        asked_percent=now.asked_percent,
        available_nanos=now.available_ns,
        max_percent_now=now.max_percent_now,
    )


def not_detached(tracee: Tracee, seconds: float) -> JcollectError:
    """Returns the error for a process that cannot be detached from in time."""
    return JcollectError(
        f"cannot detach from PID {tracee.pid} within {seconds:g} s: the kernel waits for the process, and "
        "removes the probes once it responds"
    )

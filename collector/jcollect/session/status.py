"""The status of a session as plain values: what is attached and how, and the hit counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.hub.accounts import Totals
from jcollect.hub.subscription import SubscriberCounts
from jcollect.probes.description import ProbeDescription
from jcollect.sources.explanation import ExplanationCounts
from jcollect.sources.recorder import Recorder, RecorderStatus


@dataclass(frozen=True)
class Overhead:
    """The agent's estimate of what the probes of one process cost it. Times in ns of CPU, limits in percent
    of a core. The protocol's Overhead explains each field."""

    hit_nanos: int
    recent_nanos: int
    cost_nanos: int
    elapsed_nanos: int
    max_percent: int
    asked_percent: int
    available_nanos: int
    max_percent_now: float


@dataclass(frozen=True)
class ProcessStatus:
    """One attached process: the numbers of linked libraries, probes with IDs, armed and throttled probes, and
    linked probes in the direct lane. `why_not_direct` is the reason why not all of the agent's are there;
    empty if they are. `stacks` are the distinct stacks that its probes have captured, and
    `lost_stacks` the values without one."""

    pid: int
    name: str
    libraries: int
    probes: int
    armed: int
    throttled: int
    overhead: Overhead | None
    counts: Totals
    direct_probes: int = 0
    why_not_direct: str = ""
    stacks: int = 0
    lost_stacks: int = 0


@dataclass(frozen=True)
class ProbeStatus:
    """One probe. `attach_point` is the offset in bytes from its stub's start, of use only if it is linked.
    `calls` are those that its process has counted; None if there are none."""

    description: ProbeDescription
    counts: Totals
    is_linked: bool
    attach_point: int
    calls: ExponentialHistogram | None = None


@dataclass(frozen=True)
class LinkedProbes:
    """Linked probes with the same state and attach point: their number, and the names of a few."""

    state: int
    attach_point: int
    probes: int
    examples: Sequence[str]


# The link type of a session that only has calls counted.
HISTOGRAMS = "histograms"


@dataclass(frozen=True)
class Status:
    """One collector at one moment. Sizes in bytes, times in ns.

    `clock_set_nanos` is the amount by which the wall clock was set since the start. `linked` and `matching`,
    the number of all probes, are only set if the probes are those with the most hits.
    """

    version: str
    pid: int
    started_unix_nanos: int
    cpu_nanos: int
    link: str
    ring_bytes: int
    ring_used_bytes: int
    out_of_order: int
    clock_set_nanos: int
    counts: Totals
    processes: Sequence[ProcessStatus]
    probes: Sequence[ProbeStatus]
    subscribers: Sequence[SubscriberCounts]
    lost_by_gone_subscribers: int
    linked: Sequence[LinkedProbes] = ()
    matching: int = 0
    # None unless the collector is a flight recorder.
    recorder: tuple[Recorder, RecorderStatus] | None = None
    # None unless the collector explains calls.
    explanations: ExplanationCounts | None = None

"""Prints a collector's status: its processes, links, hit counts and subscribers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jcollect.cli.output import echo
from jcollect.cli.tables import print_table
from jcollect.console import plural, warn
from jcollect.layout.stub_library import (
    STUB_X86_64_EVENT,
    STUB_X86_64_NOP,
    STUB_X86_64_NOP5,
    STUB_X86_64_NOP10,
)
from jcollect.probes.overhead import firing_text, percent_of_a_core
from jcollect.probes.probe import MARK, STATE_NAMES
from jcollect.rpc.address import Address
from jcollect.session.status import HISTOGRAMS
from jcollect.view.formats import duration_text, short_text
from jcollect.view.later import LaterParts
from jprobe.v1 import collector_pb2, probe_pb2
from jprobe.v1.collector_pb2 import LinkedProbes

# The instruction at an attach point, by its offset in bytes from the stub's start.
_POINTS = {
    offset: f"{name} (+{offset})"
    for name, offset in (
        ("nop", STUB_X86_64_NOP),
        ("nop5", STUB_X86_64_NOP5),
        ("nop10", STUB_X86_64_NOP10),
        ("direct lane", STUB_X86_64_EVENT),
    )
}
# Number of probes that are printed without --all.
ROWS = 10
_NAMED = 3
_WHY_NOT: dict[int, str] = {
    probe_pb2.PROBE_STATE_DORMANT: "the agent has not detected the tracer yet",
    probe_pb2.PROBE_STATE_ARMING: "the agent is weaving",
    probe_pb2.PROBE_STATE_WAITING: "its class is loaded but not used yet; woven on first use",
    probe_pb2.PROBE_STATE_FAILED: "cannot be woven; see the program's stderr",
    probe_pb2.PROBE_STATE_THROTTLED: "unwoven for now: the probes of its process cost more than max-overhead",
    probe_pb2.PROBE_STATE_RETIRED: "its class was unloaded, or its method unselected",
}


def echo_collector(address: Address, status: collector_pb2.GetStatusResponse, everything: bool) -> None:
    """Prints a status for people, with all probes if `everything`, else with those that were hit most."""
    seconds = max(1e-9, time.time() - status.started_unix_nanos / 1e9)
    age = f"for {duration_text(seconds * 1e9)}, with {status.cpu_nanos / 1e7 / seconds:.1f}% of a CPU"
    echo(f"collector: {status.version} in PID {status.pid}, at {address.text}, {age}")
    for process in status.processes:
        echo(
            f"attached: to PID {process.pid} ({process.name}), {process.armed:,} of "
            f"{plural(process.probes, 'probe')} armed, {_count(process.libraries, 'stub library')} linked"
        )
        if process.stacks or process.lost_stacks:
            echo(stacks_text(process))
        if lane := lane_text(process):
            echo(lane)
        echo_overhead(process)
        # The counts of a single process equal the total, except for those of processes that have exited.
        if len(status.processes) > 1:
            echo(f"hits of PID {process.pid}: {hit_counts_text(process.counts)}")
    linked = _linked(status)
    if status.link == HISTOGRAMS:
        echo("link: none; the program counts calls in histograms, without events")
    else:
        echo(f"link: {status.link} at {_points(linked)}")
    _echo_not_live(linked)
    echo(f"hits: {hit_counts_text(status.counts)}")
    ring = f"ring buffer: {status.ring_used_bytes:,} of {status.ring_bytes:,} bytes unread"
    if status.HasField("recorder"):
        echo(_recorder_text(status))
    if status.HasField("explanations"):
        echo(_explanations_text(status.explanations))
    echo(ring + (f"; {plural(status.out_of_order, 'event')} out of order" if status.out_of_order else ""))
    if status.clock_set_nanos:
        echo(
            f"clock: set by {status.clock_set_nanos / 1e9:+.3f} s since the start; event times do not follow"
        )
    for each in status.subscribers:
        echo(
            f"subscriber: {each.peer}: {plural(each.events, 'event')} = {each.delivered:,} delivered "
            f"+ {each.queued:,} queued + {each.lost:,} lost"
        )
    if status.lost_by_gone_subscribers:
        echo(f"disconnected subscribers: {plural(status.lost_by_gone_subscribers, 'event')} lost")
    _echo_probes(status, everything)
    for line in LaterParts().in_probes(each.probe for each in status.probes):
        warn(line)


def _recorder_text(status: collector_pb2.GetStatusResponse) -> str:
    recorder = status.recorder
    triggers = [
        *(["exception"] if recorder.on_exception else []),
        *([f"duration > {duration_text(recorder.on_duration_nanos)}"] if recorder.on_duration_nanos else []),
        *(["exit"] if recorder.on_exit else []),
    ]
    text = (
        f"flight recorder: the last {duration_text(recorder.last_nanos)} before "
        f"{' or '.join(triggers)}, "
        f"triggered {plural(recorder.deliveries, 'time')}; the rings reach back "
        f"{duration_text(recorder.held_nanos)} now; "
        f"{plural(status.overwritten, 'event')} overwritten or too old"
    )
    return f"{text}; {short_text(recorder.short_nanos)}" if recorder.short_nanos else text


def _explanations_text(counts: collector_pb2.Explanations) -> str:
    return (
        f"explained: {plural(counts.explained, 'call')}, {counts.unknown:,} unknown; "
        f"{plural(counts.records, 'record')} of threads read, {counts.lost:,} lost"
    )


def echo_overhead(process: collector_pb2.AttachedProcess) -> None:
    """Prints the cost of a process's probes; nothing if it is unknown."""
    if process.HasField("overhead"):
        cost = process.overhead
        since = percent_of_a_core(cost.cost_nanos, cost.elapsed_nanos / 1e9)
        limit = limit_text(cost.max_percent, cost.asked_percent, cost.available_nanos, cost.max_percent_now)
        echo(
            f"overhead: the probes of PID {process.pid} cost "
            f"{overhead_text(cost.recent_nanos, cost.hit_nanos)}, {since:.1f}% since attached; "
            f"{limit}"
        )
    if process.throttled:
        echo(f"THROTTLED: {plural(process.throttled, 'probe')} of PID {process.pid}; see below")


def overhead_text(recent_ns: int, hit_ns: int) -> str:
    """Returns the cost in the last five seconds, and per firing if that is known."""
    return f"{percent_of_a_core(recent_ns, 5):.1f}% of a core{firing_text(' at ', hit_ns)}"


def limit_text(percent: int, asked: int, available_ns: int, now: float) -> str:
    """Returns the overhead limit, and why it is lower than the requested one."""
    if not percent:
        return "no limit (max-overhead is 0)"
    why = ""
    if percent < asked:
        why = f" (max-overhead is {asked}%, and the program can get {available_ns / 1e9:.2f} cores)"
    if now < percent - 0.5:
        why += f"; for now at most {now:.0f}%, because the program gets little CPU time"
    return f"at most {percent}%{why}"


def hit_counts_text(counts: collector_pb2.HitCounts) -> str:
    """Returns hit counts as in the last line of `jcollect attach`."""
    lost = _lost(counts)
    direct = f"direct rings {counts.lost_in_direct_rings:,}, " if counts.lost_in_direct_rings else ""
    left = counts.hits - counts.delivered - counts.counted - counts.filtered - counts.throttled - lost
    counted = f" + {counts.counted:,} counted" if counts.counted else ""
    throttled = f" + {counts.throttled:,} throttled" if counts.throttled else ""
    return (
        f"{plural(counts.hits, 'hit')} = {counts.delivered:,} delivered{counted} "
        f"+ {counts.filtered:,} filtered{throttled} + {lost:,} lost "
        f"(kernel ring {counts.lost_in_kernel_ring:,}, {direct}collector {counts.lost_in_collector:,})"
        + (f" + {left:,} in flight" if left else "")
    )


def _lost(counts: collector_pb2.HitCounts) -> int:
    return counts.lost_in_kernel_ring + counts.lost_in_direct_rings + counts.lost_in_collector


def stacks_text(process: collector_pb2.AttachedProcess) -> str:
    """Returns how many stacks a process has captured, and how many values have none."""
    text = f"stacks: {process.stacks:,} distinct of PID {process.pid}"
    if process.lost_stacks:
        text += f", {plural(process.lost_stacks, 'value')} without one; see stack-memory in docs/stacks.md"
    return text


def lane_text(process: collector_pb2.AttachedProcess) -> str:
    """Returns how the events of a process get to the collector; empty if by the kernel alone, as always with
    marks."""
    if process.why_not_direct:
        return f"lane: kernel for PID {process.pid}: {process.why_not_direct}"
    if process.direct_probes:
        return f"lane: direct for {plural(process.direct_probes, 'probe')} of PID {process.pid}"
    return ""


def name_of(probe: collector_pb2.Probe) -> str:
    return f"{probe.provider}:{probe.name}"


def _linked(status: collector_pb2.GetStatusResponse) -> list[LinkedProbes]:
    """Returns the linked probes by state and attach point. A collector that was asked for all probes sums up
    nothing, nor does one of an earlier version."""
    if status.linked or status.matching_probes:
        return list(status.linked)
    names: dict[tuple[int, int], list[str]] = {}
    for each in status.probes:
        if each.is_linked:
            state = probe_pb2.PROBE_STATE_ARMED if each.probe.kind == MARK else each.probe.state
            names.setdefault((state, each.attach_point), []).append(name_of(each.probe))
    return [
        LinkedProbes(state=state, attach_point=point, probes=len(found), examples=found[:_NAMED])  # type: ignore[arg-type]
        for (state, point), found in sorted(names.items())
    ]


def _points(linked: Sequence[LinkedProbes]) -> str:
    counts: Counter[int] = Counter()
    for each in linked:
        counts[each.attach_point] += each.probes
    found = [
        f"{_POINTS.get(point, f'+{point}')} for {plural(n, 'probe')}" for point, n in sorted(counts.items())
    ]
    return ", ".join(found) or "nothing"


def _echo_not_live(linked: Sequence[LinkedProbes]) -> None:
    """Prints the attached probes that do not fire, with the reason."""
    for each in linked:
        if each.state == probe_pb2.PROBE_STATE_ARMED:
            continue
        more = f", and {each.probes - len(each.examples):,} more" if each.probes > len(each.examples) else ""
        reason = _WHY_NOT.get(each.state, "unknown reason")
        echo(
            f"not live: {plural(each.probes, 'probe')} {STATE_NAMES.get(each.state, 'unknown')} ({reason}): "
            f"{', '.join(each.examples)}{more}"
        )


def _echo_probes(status: collector_pb2.GetStatusResponse, everything: bool) -> None:
    ordered = sorted(status.probes, key=lambda each: -each.counts.hits)
    shown = ordered if everything else [each for each in ordered[:ROWS] if each.counts.hits]
    if not shown:
        return
    left = max(len(ordered), status.matching_probes) - len(shown)
    left_out = {"THROTTLED": not _is_throttled(status.counts), "COUNTED": not status.counts.counted}
    columns = [column for column in _COLUMNS if not left_out.get(column.head)]
    print_table(
        tuple(column.head for column in columns),
        [tuple(column.text(each) for column in columns) for each in shown],
        right=frozenset(range(len(columns) - 2)),
    )
    if left:
        echo(f"and {plural(left, 'probe')} more; --all lists them")


def _throttled_text(counts: collector_pb2.HitCounts) -> str:
    """Returns the throttled calls, and the time during which calls were not counted."""
    unwoven = f" and {counts.throttled_nanos / 1e9:.1f} s" if counts.throttled_nanos else ""
    return f"{counts.throttled:,}{unwoven}"


def _is_throttled(counts: collector_pb2.HitCounts) -> bool:
    return bool(counts.throttled or counts.throttled_nanos)


class _Column(NamedTuple):
    head: str
    text: Callable[[collector_pb2.ProbeHitCounts], str]


_COLUMNS = (
    _Column("HITS", lambda each: f"{each.counts.hits:,}"),
    _Column("DELIVERED", lambda each: f"{each.counts.delivered:,}"),
    _Column("COUNTED", lambda each: f"{each.counts.counted:,}"),
    _Column("FILTERED", lambda each: f"{each.counts.filtered:,}"),
    _Column("THROTTLED", lambda each: _throttled_text(each.counts)),
    _Column("LOST", lambda each: f"{_lost(each.counts):,}"),
    _Column("STATE", lambda each: STATE_NAMES.get(each.probe.state, "unknown")),
    _Column("PROBE", lambda each: name_of(each.probe)),
)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun[:-1]}ies"

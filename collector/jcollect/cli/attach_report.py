"""Prints the last lines of `jcollect attach`: the hit counts and the cost."""

from __future__ import annotations

from jcollect.console import plural, status, warn
from jcollect.hub.accounts import Totals
from jcollect.probes.overhead import percent_of_a_core
from jcollect.session.session import Session
from jcollect.sources.recorder import RecorderStatus
from jcollect.view.formats import short_text


def print_report(session: Session, totals: Totals, seconds: float, prefix: str) -> None:
    """Prints what became of all hits in the `seconds` that the session lasted. The line begins with
    `prefix`."""
    if totals.throttled or totals.throttled_ns:
        warn(throttled_text(totals))
    done = session.recorder and session.recorder[1]
    if done and done.short_ns:
        warn(short_text(done.short_ns))
    filtered = f" + {totals.filtered:,} filtered" if totals.filtered else ""
    throttled = f" + {totals.throttled:,} throttled" if totals.throttled else ""
    counted = f" + {totals.counted:,} counted" if totals.counted else ""
    direct = f"direct rings {totals.lost_in_direct_rings:,}, " if totals.lost_in_direct_rings else ""
    missing = f"; {totals.missing:,} hits are unaccounted for" if totals.missing else ""
    status(
        f"{prefix}detached after {seconds:.1f} s: {plural(totals.hits, 'hit')} = "
        f"{totals.delivered:,} delivered{counted}{filtered}{throttled} + {totals.lost:,} lost "
        f"(kernel ring {totals.lost_in_ring:,}, {direct}collector {totals.lost_in_collector:,}); "
        f"subscribers: {session.hub.served:,} served, {session.hub.lost():,} events lost{missing}"
        f"{_recorder_text(done)}{_lane_text(session, done)}{_cost_text(session.cost_ns, seconds)}"
    )


def throttled_text(totals: Totals) -> str:
    """Returns a sentence about the calls that did not fire, or were not counted."""
    calls = f"{plural(totals.throttled, 'call')} did not fire, and " if totals.throttled else ""
    return (
        f"throttled: to keep the overhead limit, {calls}probes were unwoven for "
        f"{totals.throttled_ns / 1e9:.1f} s, summed over all probes; calls during that time are not counted; "
        "--counts FILE lists this per probe"
    )


def _recorder_text(done: RecorderStatus | None) -> str:
    if done is None:
        return ""
    triggered = f"triggered {plural(done.deliveries, 'time')}"
    return f"; flight recorder: {triggered}; {done.overwritten:,} more were overwritten or too old"


def _lane_text(session: Session, done: RecorderStatus | None) -> str:
    """Returns the lane if any probe has taken another one than the kernel's."""
    return "; lane: direct" if session.has_direct_hits or done else ""


def _cost_text(cost_ns: int | None, seconds: float) -> str:
    if cost_ns is None:
        return ""
    cpu = percent_of_a_core(cost_ns, seconds)
    return f"; the probes cost {cost_ns / 1e9:.2f} s of CPU, {cpu:.1f}% of a core"

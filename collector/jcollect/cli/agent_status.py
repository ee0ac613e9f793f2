"""Prints the status of the agent in a process, for `jcollect status`."""

from __future__ import annotations

from dataclasses import asdict

from jcollect.cli.collector_status import limit_text, overhead_text
from jcollect.cli.output import Json, echo
from jcollect.cli.replies import echo_gates, echo_selections
from jcollect.console import plural
from jcollect.control.overview import Overview
from jcollect.probes.overhead import Overhead
from jprobe.v1 import control_pb2


def echo_agent(
    pid: int, overview: Overview, reply: control_pb2.ControlReply | None, is_silent: bool, everything: bool
) -> None:
    """Prints what the agent traces, and its reply; without a reply, whether it `is_silent` or has no
    gateway."""
    _echo_overview(pid, overview)
    if reply is not None:
        _echo_control(reply, everything)
        return
    echo(f"selected: {'; '.join(overview.selectors) or 'nothing'}")
    if is_silent:
        echo("control: no answer")
    elif overview.directory:
        echo("control: off; to turn it on, use jcollect select, or the agent option control=on")
    else:
        echo("control: off, because the agent keeps its stub libraries in memory")


def overhead_json(overhead: Overhead, json: Json) -> dict[str, object]:
    """Returns the cost of all probes, without what is unknown."""
    found = asdict(overhead)
    for name in ("hit_ns", "total_ns", "recent_ns", "available_ns"):
        found[name] = json.number(found[name])
    if not overhead.available_ns:
        del found["available_ns"]
    return found


def _echo_overview(pid: int, overview: Overview) -> None:
    echo(f"agent: {overview.version} in PID {pid}")
    if overview.refusal:
        echo(f"traces nothing: {overview.refusal}")
    retired = overview.states.get("retired", 0)
    states = ", ".join(f"{count:,} {name}" for name, count in overview.states.items() if name != "retired")
    echo(
        f"traced: {plural(overview.methods, 'method')} with "
        f"{plural(sum(overview.states.values()) - retired, 'probe')}"
        + (f": {states}" if states else "")
        + (f"; and {retired:,} retired" if retired else "")
    )
    if overview.overhead is not None:
        cost = overview.overhead
        limit = limit_text(cost.max_percent, cost.asked_percent, cost.available_ns, cost.max_percent_now)
        echo(f"overhead: all probes cost {overhead_text(cost.recent_ns, cost.hit_ns)}; {limit}")
        if cost.throttled_methods:
            echo(f"THROTTLED: {plural(cost.throttled_methods, 'method')}, because the probes cost too much")
    echo(f"stub libraries: {len(overview.libraries)} in {overview.directory or 'memory'}")


def _echo_control(reply: control_pb2.ControlReply, everything: bool) -> None:
    how = "loaded into the running JVM" if reply.loaded_later else "started with -javaagent"
    echo(f"control: on; the agent was {how}")
    echo("selected:" if reply.selections else "selected: nothing")
    echo_selections(reply.selections)
    if reply.gates:
        echo("changed settings:")
        echo_gates(reply, everything)

"""jcollect status: what the agent in a process is doing. Loads nothing and changes nothing."""

from __future__ import annotations

from dataclasses import asdict

import click

from jcollect.commands.control import (
    all_option,
    as_dict,
    echo,
    echo_gates,
    echo_json,
    echo_selections,
    json_option,
    timeout_option,
)
from jcollect.commands.options import pid_argument, plural
from jcollect.control.agent import find_agent
from jcollect.control.ensure import connect
from jcollect.control.overview import Overview, overview_of
from jcollect.errors import JcollectError
from jprobe.v1 import control_pb2


@click.command()
@pid_argument
@json_option
@all_option
@timeout_option
def status(pid: int, as_json: bool, everything: bool, seconds: float) -> None:
    """Say what the agent in the JVM PID traces, and whether it can be commanded."""
    agent = find_agent(pid)
    if agent is None:
        raise JcollectError(f"there is no jprobe agent in PID {pid}; jcollect select {pid} SELECTOR loads it")
    overview = overview_of(agent)
    gateway = connect(pid, seconds)
    reply = None
    if gateway is not None:
        with gateway:
            reply = gateway.status()
    if as_json:
        echo_json({"pid": pid, **asdict(overview), "control": as_dict(reply) if reply else None})
        return
    _print_overview(pid, overview)
    if reply is None:
        echo(f"selected: {'; '.join(overview.selectors) or 'nothing'}")
        echo(
            "control: off; jcollect select turns it on, or control=on in the agent's options"
            if overview.directory
            else "control: off, for the agent keeps its stub libraries in memory"
        )
    else:
        _print_control(reply, everything)


def _print_overview(pid: int, overview: Overview) -> None:
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
    echo(f"stub libraries: {len(overview.libraries)} in {overview.directory or 'memory'}")


def _print_control(reply: control_pb2.ControlReply, everything: bool) -> None:
    how = "loaded into the running JVM" if reply.loaded_later else "started with -javaagent"
    echo(f"control: on; the agent was {how}")
    echo("selected:" if reply.selections else "selected: nothing")
    echo_selections(reply.selections)
    if reply.gates:
        echo("gates that were set:")
        echo_gates(reply, everything)

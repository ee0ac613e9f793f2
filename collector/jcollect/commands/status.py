"""jcollect status: what an agent is doing, and what the collectors that are attached to its process.

Loads nothing and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from jcollect.cli.hit_counts import echo_collector, limit_text, overhead_text
from jcollect.cli.options import address_argument
from jcollect.cli.replies import (
    all_option,
    as_dict,
    echo,
    echo_gates,
    echo_json,
    echo_selections,
    json_option,
    timeout_option,
)
from jcollect.console import plural, warn
from jcollect.control.agent import Agent, find_agent
from jcollect.control.open_gateway import connect
from jcollect.control.overview import Overview, overview_of
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jcollect.rpc.address import Address, default_address, is_number, parse_address, pid_of
from jcollect.rpc.client import Client, SilentError
from jcollect.rpc.find import Answer, ask_collectors
from jprobe.v1 import collector_pb2, control_pb2


@click.command()
@address_argument
@json_option
@all_option
@timeout_option
def status(address: str, as_json: bool, everything: bool, seconds: float) -> None:
    """Say what the agent in a JVM traces, whether it can be commanded, and what the collectors that are
    attached do: how they are attached, whether each probe is live, and where every hit has gone.

    Of a PID, or of the collector at an ADDRESS.
    """
    if not is_number(address):
        place = parse_address(address)
        with Client(place) as client:
            client.check_answers()
            _print_collectors([(place, client.status(seconds=seconds))], as_json, everything)
        return
    pid = int(address)
    with Process.open(pid) as process:
        agent = find_agent(process)
        attached, silent = _collectors(pid, ask_collectors(), seconds)
        if agent is not None:
            silent += _print_agent(agent, attached, seconds, as_json, everything)
    if agent is None and attached:
        _print_collectors(attached, as_json, everything)
    elif agent is None and not silent:
        raise JcollectError(f"there is no jprobe agent in PID {pid}; jcollect select {pid} SELECTOR loads it")
    for problem in silent:
        raise problem


_Collector = tuple[Address, collector_pb2.GetStatusResponse]


def _collectors(
    pid: int, answers: list[Answer], seconds: float
) -> tuple[list[_Collector], list[JcollectError]]:
    """Those that are attached to the process; and those that do not answer, and may be or are."""
    found: list[_Collector] = []
    silent: list[JcollectError] = []
    for each in answers:
        if each.is_attached_to(pid):
            try:
                with Client(each.address) as client:
                    found.append((each.address, client.status(pids=(pid,), seconds=seconds)))
            except SilentError as silence:
                silent.append(silence)
        elif each.silence is not None:
            if each.address == default_address(pid):
                silent.append(each.silence)
            elif not pid_of(each.address):
                # Else it is the collector of one other process.
                warn(f"{each.silence.message}; whether it is attached to PID {pid} is not known")
    return found, silent


def _print_collectors(attached: list[_Collector], as_json: bool, everything: bool) -> None:
    if as_json:
        echo_json({"collectors": _as_json(attached)})
        return
    for address, said in attached:
        echo_collector(address, said, everything)


def _as_json(attached: list[_Collector]) -> list[dict[str, Any]]:
    return [{"address": address.text, **as_dict(said)} for address, said in attached]


def _print_agent(
    agent: Agent, attached: list[_Collector], seconds: float, as_json: bool, everything: bool
) -> list[JcollectError]:
    """What it could not be asked for."""
    pid = agent.process.pid
    overview = overview_of(agent)
    reply = None
    problems: list[JcollectError] = []
    try:
        gateway = connect(agent.process, seconds)
        if gateway is not None:
            with gateway:
                reply = gateway.status()
    except JcollectError as problem:
        problems.append(problem)
    if as_json:
        control = as_dict(reply) if reply else None
        echo_json({"pid": pid, **asdict(overview), "control": control, "collectors": _as_json(attached)})
        return problems
    _print_overview(pid, overview)
    if reply is None:
        echo(f"selected: {'; '.join(overview.selectors) or 'nothing'}")
        echo(
            "control: no answer"
            if problems
            else "control: off; jcollect select turns it on, or control=on in the agent's options"
            if overview.directory
            else "control: off, for the agent keeps its stub libraries in memory"
        )
    else:
        _print_control(reply, everything)
    _print_collectors(attached, False, everything)
    return problems


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
    if overview.overhead is not None:
        cost = overview.overhead
        most = limit_text(cost.max_percent, cost.asked_percent, cost.available_ns, cost.max_percent_now)
        echo(f"overhead: all probes cost {overhead_text(cost.recent_ns, cost.hit_ns)}; at most {most}")
        if cost.throttled_methods:
            echo(
                f"THROTTLED: {plural(cost.throttled_methods, 'method')}; the probes have cost more than that"
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

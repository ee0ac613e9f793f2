"""jcollect status: prints the status of an agent, and of the collectors that are attached to its process.

Loads nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import click

from jcollect.cli.access_options import client_access_options
from jcollect.cli.agent_status import echo_agent, overhead_json
from jcollect.cli.attached_collectors import CollectorStatus, attached_collectors
from jcollect.cli.collector_status import ROWS, echo_collector
from jcollect.cli.control_options import timeout_option
from jcollect.cli.options import address_argument, all_option, json_option
from jcollect.cli.output import Json, set_fields
from jcollect.control.agent import Agent, find_agent
from jcollect.control.open_gateway import connect
from jcollect.control.overview import overview_of
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jcollect.rpc.address import is_number, parse_address
from jcollect.rpc.client import Client
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.find import asking_collectors
from jprobe.v1 import control_pb2
from jprobe.v1.collector_pb2 import GetStatusResponse


@click.command()
@address_argument
@client_access_options
@json_option
@all_option
@timeout_option
def status(
    address: str, access: ClientAccess, as_json: Json | None, everything: bool, seconds: float
) -> None:
    """Print what the agent in the JVM PID traces, whether it accepts commands, and the status of each
    collector attached to it: its links, the state of each probe, and the hit counts.

    With ADDRESS, print the status of the collector at that address.
    """
    if not is_number(address):
        every_probe = everything or as_json is not None
        _print_collectors([_ask(address, access, seconds, every_probe)], as_json, everything)
        return
    pid = int(address)
    every_probe = everything or as_json is not None

    def begin(client: Client) -> Callable[[], GetStatusResponse]:
        if every_probe:
            return client.begin_status(summary_only=True)
        return client.begin_status(pids=(pid,), top=ROWS)

    # The collectors answer while this process reads the stub libraries.
    with Process.open(pid) as process, asking_collectors(begin, access=access) as answers:
        agent = find_agent(process)
        collectors, problems = attached_collectors(pid, answers(), seconds, every_probe, access)
        if agent is not None:
            problems += _print_agent(agent, collectors, seconds, as_json, everything)
    if agent is None and collectors:
        _print_collectors(collectors, as_json, everything)
    elif agent is None and not problems:
        raise JcollectError(f"there is no jprobe agent in PID {pid}; jcollect select {pid} SELECTOR loads it")
    if problems:
        raise problems[0]


def _ask(address: str, access: ClientAccess, seconds: float, every_probe: bool) -> CollectorStatus:
    parsed = parse_address(address)
    with Client(parsed, access) as client:
        client.check_answers()
        status = client.begin_status(seconds=seconds, top=0 if every_probe else ROWS)
        return CollectorStatus(parsed, status())


def _print_collectors(collectors: list[CollectorStatus], as_json: Json | None, everything: bool) -> None:
    if as_json:
        as_json.echo({"collectors": [each.as_json(as_json) for each in collectors]})
        return
    for each in collectors:
        echo_collector(each.address, each.status, everything)


def _print_agent(
    agent: Agent, collectors: list[CollectorStatus], seconds: float, as_json: Json | None, everything: bool
) -> list[JcollectError]:
    """Prints the agent and the collectors; returns the error if the agent does not answer."""
    overview = overview_of(agent)
    reply, problems = _ask_agent(agent.process, seconds)
    if as_json:
        as_json.echo(
            set_fields(
                {
                    "pid": agent.process.pid,
                    **asdict(overview),
                    "overhead": overview.overhead and overhead_json(overview.overhead, as_json),
                    "control": as_json.message(reply) if reply else None,
                    "collectors": [each.as_json(as_json) for each in collectors],
                }
            )
        )
        return problems
    echo_agent(agent.process.pid, overview, reply, bool(problems), everything)
    _print_collectors(collectors, None, everything)
    return problems


def _ask_agent(
    process: Process, seconds: float
) -> tuple[control_pb2.ControlReply | None, list[JcollectError]]:
    try:
        gateway = connect(process, seconds)
        if gateway is not None:
            with gateway:
                return gateway.status(), []
    except JcollectError as problem:
        return None, [problem]
    return None, []

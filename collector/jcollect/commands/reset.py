"""jcollect reset: ends the agent, and looks whether it has left anything."""

from __future__ import annotations

import click

from jcollect.cli.options import pid_argument
from jcollect.cli.replies import as_dict, echo, echo_json, json_option, no_load_option, timeout_option
from jcollect.control.agent import find_agent
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.control.reset_check import check_reset_complete
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command()
@pid_argument
@json_option
@no_load_option
@timeout_option
def reset(pid: int, as_json: bool, no_load: bool, seconds: float) -> None:
    """Take all probes of the JVM PID back, restore its classes, and end its agent."""
    with Process.open(pid) as process:
        with open_agents_gateway(process, may_load=not no_load, seconds=seconds) as gateway:
            agent = find_agent(process)
            reply = gateway.reset()
        if agent:
            check_reset_complete(agent)
    if as_json:
        echo_json(as_dict(reply))
    else:
        echo(f"reset in {took(reply)}: the agent in PID {pid} has ended")

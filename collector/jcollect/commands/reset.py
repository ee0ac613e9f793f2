"""jcollect reset: shuts down the agent, and verifies that it left nothing behind."""

from __future__ import annotations

import click

from jcollect.cli.control_options import no_load_option, timeout_option
from jcollect.cli.options import json_option, pid_argument
from jcollect.cli.output import Json, echo
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
def reset(pid: int, as_json: Json | None, no_load: bool, seconds: float) -> None:
    """Retire all probes of the JVM PID, restore its classes, and shut down its agent."""
    with Process.open(pid) as process:
        with open_agents_gateway(process, may_load=not no_load, seconds=seconds) as gateway:
            agent = find_agent(process)
            reply = gateway.reset()
        if agent:
            check_reset_complete(agent)
    if as_json:
        as_json.echo(as_json.message(reply))
    else:
        echo(f"reset in {took(reply)}: the agent in PID {pid} has shut down")

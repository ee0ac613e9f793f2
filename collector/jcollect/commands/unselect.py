"""jcollect unselect: takes probes back."""

from __future__ import annotations

import click

from jcollect.cli.options import pid_argument
from jcollect.cli.replies import (
    as_dict,
    echo,
    echo_json,
    echo_selections,
    json_option,
    no_load_option,
    timeout_option,
    totals,
)
from jcollect.console import plural
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command()
@pid_argument
@click.argument("selectors", nargs=-1, metavar="[SELECTOR...]")
@click.option("--all", "everything", is_flag=True, help="Every selector, those of -javaagent included.")
@json_option
@no_load_option
@timeout_option
def unselect(
    pid: int,
    selectors: tuple[str, ...],
    everything: bool,
    as_json: bool,
    no_load: bool,
    seconds: float,
) -> None:
    """Take back selectors of the JVM PID, each written as it was selected.

    An agent that was loaded into a running JVM ends with its last selector.
    """
    if bool(selectors) == everything:
        raise click.UsageError("unselect takes either selectors, as jcollect status shows them, or --all")
    with (
        Process.open(pid) as process,
        open_agents_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        reply = gateway.unselect(selectors)
    if as_json:
        echo_json(as_dict(reply))
        return
    echo(f"unselected {plural(len(reply.methods), 'method')} in {took(reply)}; left {totals(reply)}")
    echo_selections(reply.selections)

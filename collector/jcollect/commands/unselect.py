"""jcollect unselect: removes selectors, and retires the probes of methods that no selector matches any
more."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import TEXT
from jcollect.cli.control_options import no_load_option, timeout_option
from jcollect.cli.options import json_option, pid_argument
from jcollect.cli.output import Json, echo
from jcollect.cli.replies import echo_selections, totals
from jcollect.console import plural
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command()
@pid_argument
@click.argument("selectors", type=TEXT, nargs=-1, metavar="[SELECTOR...]")
@click.option(
    "--all", "everything", is_flag=True, help="Remove all selectors, including those of -javaagent."
)
@json_option
@no_load_option
@timeout_option
def unselect(
    pid: int,
    selectors: tuple[str, ...],
    everything: bool,
    as_json: Json | None,
    no_load: bool,
    seconds: float,
) -> None:
    """Remove selectors of the JVM PID, each spelled as it was selected.

    An agent that was loaded into a running JVM shuts down with its last selector.
    """
    if bool(selectors) == everything:
        raise click.UsageError("unselect needs either selectors, as jcollect status prints them, or --all")
    with (
        Process.open(pid) as process,
        open_agents_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        reply = gateway.unselect(selectors)
    if as_json:
        as_json.echo(as_json.message(reply))
        return
    echo(f"unselected {plural(len(reply.methods), 'method')} in {took(reply)}; remaining: {totals(reply)}")
    echo_selections(reply.selections)

"""jcollect select: gives probes to methods of a running program."""

from __future__ import annotations

import click

from jcollect.cli.options import pid_argument
from jcollect.cli.replies import (
    all_option,
    as_dict,
    echo,
    echo_failed,
    echo_json,
    echo_selections,
    is_exclusion,
    json_option,
    no_load_option,
    timeout_option,
    totals,
)
from jcollect.console import plural, warn
from jcollect.control.open_gateway import open_gateway
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command()
@pid_argument
@click.argument("selectors", nargs=-1, required=True, metavar="SELECTOR...")
@json_option
@all_option
@no_load_option
@timeout_option
def select(
    pid: int,
    selectors: tuple[str, ...],
    as_json: bool,
    everything: bool,
    no_load: bool,
    seconds: float,
) -> None:
    """Give probes to methods of the JVM PID, loading the agent if it is not there.

    SELECTOR is written as in the agent's option probes=, for instance 'com.acme.**Service#*'. What is
    selected later decides first, and stays until it is unselected.
    """
    with (
        Process.open(pid) as process,
        open_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        reply = gateway.select(selectors)
    given = [selection for selection in reply.selections if selection.selector in reply.given]
    if as_json:
        echo_json(as_dict(reply))
    else:
        echo(
            f"selected {plural(len(reply.methods), 'method')}, {reply.added:,} new, in {took(reply)}; "
            f"in all {totals(reply)}"
        )
        echo_selections(given)
        echo_failed(reply.failed, everything)
    for selection in given:
        if not selection.methods and not is_exclusion(selection):
            warn(f"'{selection.selector}' has matched no method of the classes loaded so far")
    if reply.refusal:
        warn(f"PID {pid} traces nothing: {reply.refusal}")

"""jcollect select: selects methods of a running program."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import TEXT
from jcollect.cli.control_options import no_load_option, timeout_option
from jcollect.cli.options import all_option, json_option, pid_argument
from jcollect.cli.output import Json, echo
from jcollect.cli.replies import echo_failed, echo_selections, is_without_effect, totals
from jcollect.cli.tracing_options import limit_options
from jcollect.console import plural, warn
from jcollect.control.limits import Limits
from jcollect.control.open_gateway import open_gateway
from jcollect.control.remarks import remarks
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command()
@pid_argument
@click.argument("selectors", type=TEXT, nargs=-1, required=True, metavar="SELECTOR...")
@json_option
@all_option
@no_load_option
@timeout_option
@limit_options
def select(
    pid: int,
    selectors: tuple[str, ...],
    as_json: Json | None,
    everything: bool,
    no_load: bool,
    seconds: float,
    max_methods: int | None,
    string_limit: int | None,
) -> None:
    """Select methods of the JVM PID: they get probes until they are unselected. Loads the agent if the JVM
    has none.

    The syntax of SELECTOR is that of the agent option probes=, for example 'com.acme.**Service#*'. If several
    match a method, the first one of the latest command decides.
    """
    with (
        Process.open(pid) as process,
        open_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        limits = Limits(max_methods, string_limit)
        if limits:
            # Kept only if the selection succeeds.
            gateway.limits(limits, "client")
        reply = gateway.select(selectors)
        if limits:
            reply.limits.CopyFrom(gateway.limits(limits, "selection").limits)
    given = [selection for selection in reply.selections if selection.selector in reply.given]
    if as_json:
        as_json.echo(as_json.message(reply))
    else:
        echo(
            f"selected {plural(len(reply.methods), 'method')}, {reply.added:,} new, in {took(reply)}; "
            f"in total {totals(reply)}"
        )
        echo_selections(given)
        echo_failed(reply.failed, everything)
    for selection in given:
        if is_without_effect(selection):
            warn(
                f"'{selection.selector}' has no effect: a selector before it decides for all "
                f"{plural(selection.overruled, 'method')} that it matches"
            )
    if remark := limits.remark(reply.limits):
        warn(f"PID {pid}: {remark}")
    for remark in remarks(reply):
        warn(remark)
    if reply.refusal:
        warn(f"PID {pid} traces nothing: {reply.refusal}")

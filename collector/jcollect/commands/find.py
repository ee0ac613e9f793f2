"""jcollect find: lists loaded classes and methods that a selector matches, and whether they can be traced."""

from __future__ import annotations

import click

from jcollect.cli.control_options import no_load_option, timeout_option
from jcollect.cli.found import echo_found, found_json
from jcollect.cli.options import json_option, pid_argument
from jcollect.cli.output import Json
from jcollect.control.open_gateway import open_gateway
from jcollect.control.remarks import quoted
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process

_MOST = 10_000


@click.command()
@pid_argument
@click.argument("pattern", metavar="PATTERN")
@click.option(
    "--limit",
    "most",
    type=click.IntRange(min=1, max=_MOST),
    default=100,
    show_default=True,
    metavar="N",
    help="List at most N classes and methods.",
)
@json_option
@no_load_option
@timeout_option
def find(pid: int, pattern: str, most: int, as_json: Json | None, no_load: bool, seconds: float) -> None:
    """List the loaded classes and methods of the JVM PID that PATTERN matches, and for each method whether it
    can be traced, or why not.

    PATTERN is a selector, such as 'com.acme.**Service#place', or only its classes: 'com.acme.Orders',
    '**Orders*', '+java.lang.Runnable'. Nothing is selected, woven, loaded or initialized in the program. Only
    the agent is loaded if the JVM has none, as by attach --select; it leaves when jcollect does.
    """
    with (
        Process.open(pid) as process,
        open_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        reply = gateway.find(pattern, most)
    if as_json:
        as_json.echo(found_json(reply, as_json))
    else:
        echo_found(reply, pattern)
    if not reply.found:
        reason = reply.nothing_found or "matches nothing that could be read in time; make it narrower"
        raise JcollectError(f"{quoted(pattern)} {reason}")

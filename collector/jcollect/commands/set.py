"""jcollect set: changes which calls fire, while the program runs."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import TEXT
from jcollect.cli.control_options import no_load_option, timeout_option
from jcollect.cli.options import all_option, json_option, pid_argument
from jcollect.cli.output import Json, echo
from jcollect.cli.replies import echo_gates
from jcollect.console import plural
from jcollect.control.methods import methods_of
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command("set")
@pid_argument
@click.argument("glob", type=TEXT, metavar="PROBE")
@click.argument("settings", type=TEXT, nargs=-1, required=True, metavar="SETTINGS")
@json_option
@all_option
@no_load_option
@timeout_option
def set_gates(
    pid: int,
    glob: str,
    settings: tuple[str, ...],
    as_json: Json | None,
    everything: bool,
    no_load: bool,
    seconds: float,
) -> None:
    """Change which calls fire, for the methods in the JVM PID whose probes the glob PROBE matches.

    PROBE matches provider:name, class, method or class#method. SETTINGS is 'duration > 20ms every 100 at most
    20/s' or a part of that, which leaves the other parts unchanged; or 'always'; or 'as selected'.
    """
    with (
        Process.open(pid) as process,
        open_agents_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        methods = methods_of(process, glob)
        reply = gateway.set(methods.names, " ".join(settings))
    if as_json:
        as_json.echo(as_json.message(reply))
        return
    echo(f"set {plural(len(reply.methods), 'method')} in {took(reply)}")
    echo_gates(reply, everything)
    if any(gate.least_duration_nanos for gate in reply.gates) and methods.have_entries:
        echo("entry probes still fire; attach to '*__return' and '*__throw' only")

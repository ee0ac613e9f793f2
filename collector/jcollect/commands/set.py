"""jcollect set: changes which calls fire, while the program runs."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import TEXT
from jcollect.cli.control_options import no_load_option, timeout_option
from jcollect.cli.options import all_option, json_option, pid_argument
from jcollect.cli.output import Json, echo
from jcollect.cli.replies import echo_gates
from jcollect.cli.tracing_options import limit_options
from jcollect.console import plural, warn
from jcollect.control.limits import Limits, limits_text
from jcollect.control.methods import methods_of
from jcollect.control.open_gateway import open_agents_gateway
from jcollect.control.selected import took
from jcollect.procfs.process import Process


@click.command("set")
@pid_argument
@click.argument("glob", type=TEXT, metavar="PROBE", required=False)
@click.argument("settings", type=TEXT, nargs=-1, metavar="SETTINGS")
@json_option
@all_option
@no_load_option
@timeout_option
@limit_options
def set_gates(
    pid: int,
    glob: str | None,
    settings: tuple[str, ...],
    as_json: Json | None,
    everything: bool,
    no_load: bool,
    seconds: float,
    max_methods: int | None,
    string_limit: int | None,
) -> None:
    """Change which calls fire, for the methods in the JVM PID whose probes the glob PROBE matches.

    PROBE matches provider:name, class, method or class#method. SETTINGS is 'duration > 20ms every 100 at most
    20/s' or a part of that, which leaves the other parts unchanged; or 'always'; or 'as selected'.

    --max-methods and --string-limit set the agent's own limits, with or without PROBE and SETTINGS.
    """
    limits = Limits(max_methods, string_limit)
    if (not settings and not limits) or (glob is None) != (not settings):
        raise click.UsageError("set needs PROBE and SETTINGS, or --max-methods N or --string-limit BYTES")
    with (
        Process.open(pid) as process,
        open_agents_gateway(process, may_load=not no_load, seconds=seconds) as gateway,
    ):
        # First: a mistake in it changes nothing.
        methods = None if glob is None else methods_of(process, glob)
        if methods:
            reply = gateway.set(methods.names, " ".join(settings))
        if limits:
            changed = gateway.limits(limits, "agent")
            if methods:
                reply.limits.CopyFrom(changed.limits)
            else:
                reply = changed
    if as_json:
        as_json.echo(as_json.message(reply))
        return
    if limits:
        echo(f"limits: {limits_text(reply.limits)}")
        if remark := limits.remark(reply.limits):
            warn(f"PID {pid}: {remark}")
    if methods is None:
        return
    echo(f"set {plural(len(reply.methods), 'method')} in {took(reply)}")
    echo_gates(reply, everything, methods.selectors)
    if any(
        gate.least_duration_nanos and method.id in methods.with_entries
        for method, gate in zip(reply.methods, reply.gates, strict=False)
    ):
        echo("entry probes still fire; attach to '*__return' and '*__throw' only")

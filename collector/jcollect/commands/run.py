"""jcollect run: starts a program, and traces it from its first call on."""

from __future__ import annotations

import os

import click

from jcollect.cli.access_options import ServerAccess, server_access_options
from jcollect.cli.argument_types import Format, WholeNumber
from jcollect.cli.attach_options import AttachOptions
from jcollect.cli.attaching import begin_compilation
from jcollect.cli.export_options import ExportOptions, export_options
from jcollect.cli.launcher import Launcher
from jcollect.cli.options import (
    check_json_strings,
    duration_option,
    fail_on_loss_option,
    json_strings_option,
    max_events_option,
    probe_option,
    select_option,
)
from jcollect.cli.recorder_options import recorder_of, recorder_options
from jcollect.cli.redaction_options import redaction_options
from jcollect.cli.tracing_options import (
    cost_options,
    explain_option,
    history_option,
    lane_option,
    limit_options,
    listen_options,
)
from jcollect.control.limits import Limits
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.session.options import DIRECT, SessionSettings, TargetOptions

_HOLD_SECONDS = 30


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@select_option
@click.option("-o", "--output", type=Format(), help="Also print each event, to stderr.")
@json_strings_option
@click.option(
    "--events",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the events of -o to FILE instead of stderr.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="Run the program as this user. Default with sudo: the user who has called sudo.",
)
@click.option(
    "--hold",
    type=WholeNumber(most=600),
    default=_HOLD_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Let the program begin untraced if its probes are not armed after SECONDS.",
)
@listen_options
@server_access_options
@probe_option
@duration_option
@max_events_option
@fail_on_loss_option
@limit_options
@cost_options
@lane_option
@explain_option
@recorder_options
@history_option
@redaction_options
@export_options
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGUMENT...]"
)
@click.pass_obj
def run(
    launcher: Launcher,
    selectors: tuple[str, ...],
    output: str | None,
    json_strings: bool,
    events: str | None,
    user: str | None,
    hold: int,
    listen: str | None,
    insecure: bool,
    server_access: ServerAccess,
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
    max_methods: int | None,
    string_limit: int | None,
    counts: str | None,
    max_probes: int | None,
    max_overhead: int | None,
    lane: str,
    explain: frozenset[str],
    last: str | None,
    triggers: tuple[str, ...],
    history: int | None,
    redaction: RedactionRules,
    exports: ExportOptions,
    command: tuple[str, ...],
) -> int:
    """Start a program, and trace it from its first call on.

    COMMAND is java with its arguments, or a program or script that starts java. The agent is added to it, and
    it waits before its first instruction until the probes are armed. Signals are passed on to it, and its
    exit code is that of jcollect.
    """
    if not selectors:
        raise click.UsageError("run needs --select SELECTOR: the methods to trace")
    if events and not output:
        raise click.UsageError("--events needs -o, the format of the events")
    check_json_strings(json_strings, output, counts)
    recorder = recorder_of(last, triggers, lane)
    options = AttachOptions(
        targets=TargetOptions(
            (),
            globs=globs,
            selectors=selectors,
            below=launcher.pid,
            limits=Limits(max_methods, string_limit),
            held=True,
        ),
        settings=SessionSettings(
            capacity=max_probes,
            max_events=max_events,
            max_overhead=max_overhead,
            lane=DIRECT if recorder else lane,
            recorder=recorder,
            history_bytes=history,
            redaction=redaction,
            explain=explain,
            only_counts=exports.no_events,
        ),
        listen=listen,
        insecure=insecure,
        access=server_access,
        output=output,
        json_strings=json_strings,
        duration=duration,
        fail_on_loss=fail_on_loss,
        exports=exports,
        counts=counts,
        events=os.path.abspath(events) if events else "",
    )
    compilation = begin_compilation()
    try:
        from jcollect.cli.run_session import run_program

        return run_program(options, command, user, hold, launcher, compilation)
    finally:
        compilation.close()

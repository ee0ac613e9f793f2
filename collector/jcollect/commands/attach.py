"""jcollect attach: traces processes and serves their events."""

from __future__ import annotations

import click

from jcollect.cli.access_options import ServerAccess, server_access_options
from jcollect.cli.argument_types import TEXT, Format, Pid, Seconds, WholeNumber
from jcollect.cli.attach_options import ARM_SECONDS, AttachOptions
from jcollect.cli.attaching import compile_and_attach
from jcollect.cli.export_options import ExportOptions, export_options
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
    mark_options,
)
from jcollect.control.limits import Limits
from jcollect.errors import InvalidCommandError
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.session.options import DIRECT, SessionSettings, TargetOptions

# The features in sources/bpf/kernel.py, which is imported later.
_FEATURES = ("uprobe-multi", "cookies", "ring-buffer", "ref-count")


@click.command()
@click.argument("pids", nargs=-1, type=Pid(), metavar="[PID...]")
@click.option(
    "--name",
    "names",
    type=TEXT,
    multiple=True,
    metavar="GLOB",
    help="Attach to all JVMs whose main class matches, as jcollect ps prints it, and to those that start "
    "later. Repeatable.",
)
@click.option("--all", "every", is_flag=True, help="Attach to every process that has probes, now or later.")
@listen_options
@server_access_options
@select_option
@click.option("-o", "--output", type=Format(), help="Also print each event.")
@json_strings_option
@probe_option
@click.option("--wait", is_flag=True, help="If no probe matches yet, wait for one.")
@duration_option
@max_events_option
@fail_on_loss_option
@limit_options
@cost_options
@lane_option
@explain_option
@mark_options
@recorder_options
@history_option
@redaction_options
@export_options
# Hidden options for tests: force a link type, simulate missing kernel features, shrink buffers.
@click.option("--link", "link_type", type=click.Choice(["auto", "uprobe-multi", "perf-event"]), hidden=True)
@click.option("--without", multiple=True, type=click.Choice(_FEATURES), hidden=True)
@click.option("--ring-pages", type=WholeNumber(), hidden=True)
@click.option("--queue-bytes", type=WholeNumber(), hidden=True)
@click.option("--arm-timeout", type=Seconds(), default=ARM_SECONDS, hidden=True)
def attach(
    pids: tuple[int, ...],
    names: tuple[str, ...],
    every: bool,
    listen: str | None,
    insecure: bool,
    server_access: ServerAccess,
    selectors: tuple[str, ...],
    output: str | None,
    json_strings: bool,
    globs: tuple[str, ...],
    wait: bool,
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
    jvm: tuple[str, ...],
    usdt: tuple[str, ...],
    last: str | None,
    triggers: tuple[str, ...],
    history: int | None,
    redaction: RedactionRules,
    exports: ExportOptions,
    link_type: str | None,
    without: tuple[str, ...],
    ring_pages: int | None,
    queue_bytes: int | None,
    arm_timeout: float,
) -> None:
    """Attach to probes and serve their events over gRPC.

    Attaches to the probes of each PID, of all JVMs that --name matches, or of --all processes, including
    those that appear later. Ends with Ctrl-C, or when all given PIDs have exited. The agent then restores the
    original bytecode.

    With --select the probes need not exist yet: jcollect loads the agent into JVMs that have none, and
    selects the methods until it exits.
    """
    if not pids and not names and not every:
        raise click.UsageError("attach needs PIDs, --name GLOB or --all; jcollect ps lists the processes")
    if counts == "":
        raise click.UsageError("--counts needs the path of a file")
    limits = Limits(max_methods, string_limit)
    if limits and not selectors:
        raise click.UsageError(
            "--max-methods and --string-limit need --select; jcollect set changes them too"
        )
    if ring_pages and ring_pages & ring_pages - 1:
        raise InvalidCommandError(f"--ring-pages must be a power of two, and {ring_pages} is not")
    check_json_strings(json_strings, output, counts)
    recorder = recorder_of(last, triggers, lane)
    options = AttachOptions(
        targets=TargetOptions(
            tuple(dict.fromkeys(pids)),
            names,
            every,
            globs,
            selectors,
            wait,
            limits=limits,
            jvm=jvm,
            usdt=usdt,
            pauses="pauses" in explain,
        ),
        settings=SessionSettings(
            capacity=max_probes,
            max_events=max_events,
            max_overhead=max_overhead,
            queue_bytes=queue_bytes,
            ring_pages=ring_pages,
            link_type=link_type,
            without=frozenset(without),
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
        arm_timeout=arm_timeout,
        fail_on_loss=fail_on_loss,
        exports=exports,
        counts=counts,
    )
    compile_and_attach(options)

"""jcollect probes: lists the probes of a process, without attaching."""

from __future__ import annotations

import click

from jcollect.cli.options import json_option, pid_argument, probe_option
from jcollect.cli.output import Json
from jcollect.cli.probe_table import print_probes, print_untraceable, probe_json, untraceable_json
from jcollect.console import plural, status, warn
from jcollect.errors import JcollectError
from jcollect.probes.live import LiveProbe, read_live, read_mapped
from jcollect.probes.probe import Probe, narrow
from jcollect.probes.scan import Scan, scan_traceable
from jcollect.procfs.process import Process
from jcollect.session.marks import marks_of


@click.command()
@pid_argument
@json_option
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also list selected methods that cannot be traced, with the reason.",
)
@click.option(
    "--usdt",
    is_flag=True,
    help="List the USDT probes of all files that the process has mapped, instead of jprobe's: what --usdt of "
    "jcollect attach can attach to.",
)
@probe_option
def probes(pid: int, as_json: Json | None, everything: bool, usdt: bool, globs: tuple[str, ...]) -> None:
    """List the probes of the process PID, with their current state."""
    if usdt and everything:
        raise click.UsageError("--all is for Java methods, and --usdt lists the probes of other files")
    with Process.open(pid) as process:
        if usdt:
            _list_marks(process, as_json, globs)
            return
        scan = scan_traceable(process, warn)
        untraceable = scan.untraceable(globs) if everything else []
        live = _read(scan, globs, must_have_some=not untraceable)
    if as_json:
        as_json.echo([*(probe_json(each, as_json) for each in live), *map(untraceable_json, untraceable)])
        return
    if live:
        print_probes(live)
    if live and untraceable:
        click.echo()
    if untraceable:
        print_untraceable(untraceable)
    methods = len({each.probe.method_key for each in live})
    also = f"; {len(untraceable):,} selected but not traceable" if untraceable else ""
    status(f"{plural(len(live), 'probe')} of {plural(methods, 'method')}{also}")


def _list_marks(process: Process, as_json: Json | None, globs: tuple[str, ...]) -> None:
    found = narrow(marks_of(process, warn), globs)
    if not found:
        raise JcollectError(f"PID {process.pid} has no USDT probe that matches")
    try:
        live = read_live(found)
    except OSError as error:
        raise process.explain(error, "memory") from None
    if as_json:
        as_json.echo([probe_json(each, as_json) for each in live])
    else:
        print_probes(live)
    status(f"{plural(len(live), 'USDT probe')}")


def _read(scan: Scan, globs: tuple[str, ...], must_have_some: bool) -> list[LiveProbe]:
    found: list[Probe] = []
    try:
        found = scan.probes(globs)
    except JcollectError as error:
        if must_have_some:
            raise
        status(error.message)
    if found and scan.refusal:
        status(f"PID {scan.process.pid} traces nothing: {scan.refusal}")
    try:
        return read_mapped(scan.process, found)
    except OSError as error:
        raise scan.process.explain(error, "memory") from None

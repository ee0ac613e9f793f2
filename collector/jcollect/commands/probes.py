"""jcollect probes: lists the probes of a process, without attaching."""

from __future__ import annotations

import click

from jcollect.cli.options import json_option, pid_argument, probe_option
from jcollect.cli.output import Json
from jcollect.cli.probe_table import print_probes, print_untraceable, probe_json, untraceable_json
from jcollect.console import plural, status, warn
from jcollect.errors import JcollectError
from jcollect.probes.live import LiveProbe, read_mapped
from jcollect.probes.probe import Probe
from jcollect.probes.scan import Scan, scan_traceable
from jcollect.procfs.process import Process


@click.command()
@pid_argument
@json_option
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also list selected methods that cannot be traced, with the reason.",
)
@probe_option
def probes(pid: int, as_json: Json | None, everything: bool, globs: tuple[str, ...]) -> None:
    """List the probes of the process PID, with their current state."""
    with Process.open(pid) as process:
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

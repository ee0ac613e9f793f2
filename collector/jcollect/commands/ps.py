"""jcollect ps: lists the JVMs of this host, and other processes that have probes."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from jcollect.cli.options import json_option
from jcollect.cli.output import Json, set_fields
from jcollect.cli.process_row import collectors_by_pid, print_rows
from jcollect.console import plural, status
from jcollect.probes.host import Host
from jcollect.probes.process_row import read_row


@click.command()
@json_option
def ps(as_json: Json | None) -> None:
    """List the JVMs of this host, of every user, and other processes that have probes.

    NAME is the main class; jcollect attach --name matches it.
    """
    collectors = collectors_by_pid()
    rows = [read_row(process, collectors.get(process.pid, ())) for process in Host().scan()]
    if as_json:
        as_json.echo([set_fields(asdict(row)) for row in rows])
        return
    if rows:
        print_rows(rows)
    jvms = sum(row.is_jvm for row in rows)
    with_agent = sum(row.is_jvm and bool(row.agent) for row in rows)
    others = len(rows) - jvms
    also = f"; {others:,} other process{'' if others == 1 else 'es'} with probes" if others else ""
    hint = "" if os.geteuid() == 0 else "; use sudo to see those of other users"
    status(f"{plural(jvms, 'JVM')}, {with_agent:,} with the agent{also}{hint}")

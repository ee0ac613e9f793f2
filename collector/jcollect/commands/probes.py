"""jcollect probes: lists what can be attached to, without attaching."""

from __future__ import annotations

import json

import click

from jcollect.commands.options import pid_argument, plural, probe_option, status
from jcollect.discovery.live import LiveProbe, read_live
from jcollect.discovery.probes import KIND_NAMES, STATE_NAMES
from jcollect.discovery.process import find_process
from jcollect.errors import JcollectError
from jcollect.stream.escape import escape


@click.command()
@pid_argument
@click.option("--json", "as_json", is_flag=True, help="A JSON array with everything that is known.")
@probe_option
def probes(pid: int, as_json: bool, globs: tuple[str, ...]) -> None:
    """List the probes that the JVM PID offers, with their state of this moment."""
    found = find_process(pid).probes(globs)
    try:
        live = read_live(found)
    except PermissionError:
        raise JcollectError(
            f"cannot read the memory of PID {pid}: needs CAP_SYS_PTRACE or the process's own user; "
            "run with sudo"
        ) from None
    except OSError:
        raise JcollectError(f"PID {pid} has exited while its probes were read") from None
    if as_json:
        text = json.dumps([_as_json(each) for each in live], indent=2, ensure_ascii=False)
        click.echo(text.encode(errors="backslashreplace"))
        return
    _print_table(live)
    methods = len({probe.method_key for probe in found})
    status(f"{plural(len(found), 'probe')} of {plural(methods, 'method')}")


def _as_json(live: LiveProbe) -> dict[str, object]:
    probe = live.probe
    return {
        "provider": probe.provider,
        "name": probe.name,
        "kind": KIND_NAMES[probe.kind],
        "class": probe.class_name,
        "class_loader": probe.class_loader_id,
        "method": probe.method,
        "descriptor": probe.descriptor,
        "values": [{"name": value.name, "type": value.java_type} for value in probe.values],
        "file": probe.library.file,
        "location": probe.location,
        "semaphore": probe.semaphore,
        "semaphore_count": live.semaphore_count,
        "state": STATE_NAMES[live.state],
    }


def _print_table(live: list[LiveProbe]) -> None:
    """USDT name, state, semaphore's count, the place for other tracers, and what is passed."""
    rows = [
        (
            f"{each.probe.provider}:{each.probe.name}",
            STATE_NAMES[each.state],
            str(each.semaphore_count),
            f"{each.probe.library.file}+0x{each.probe.location:x}",
            f"0x{each.probe.semaphore:x}",
            f"{each.probe.class_name}#{each.probe.method}{each.probe.descriptor} "
            + ", ".join(f"{value.java_type} {value.name}" for value in each.probe.values),
        )
        for each in live
    ]
    heads = ("PROBE", "STATE", "COUNT", "LOCATION", "SEMAPHORE", "METHOD AND VALUES")
    table = [heads, *(tuple(map(escape, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())

"""jcollect probes: lists what can be attached to, without attaching."""

from __future__ import annotations

from collections.abc import Iterator

import click

from jcollect.cli.options import pid_argument, probe_option
from jcollect.cli.replies import echo_json
from jcollect.cli.tables import print_table
from jcollect.console import plural, status, warn
from jcollect.errors import JcollectError
from jcollect.probes.live import LiveProbe, read_live
from jcollect.probes.probe import KIND_NAMES, MARK, STATE_NAMES, Probe
from jcollect.probes.scan import Scan, scan_traceable
from jcollect.procfs.process import Process
from jcollect.view.formats import gate_text
from jprobe.v1 import manifest_pb2


@click.command()
@pid_argument
@click.option("--json", "as_json", is_flag=True, help="A JSON array with everything that is known.")
@click.option(
    "--all", "everything", is_flag=True, help="Also what was selected and cannot be traced, and why."
)
@probe_option
def probes(pid: int, as_json: bool, everything: bool, globs: tuple[str, ...]) -> None:
    """List the probes that the process PID offers, with their state of this moment."""
    with Process.open(pid) as process:
        scan = scan_traceable(process, warn)
        untraceable = scan.untraceable(globs) if everything else []
        live = _read(scan, globs, must_have_some=not untraceable)
    if as_json:
        array = [*map(_as_json, live), *map(_untraceable_as_json, untraceable)]
        echo_json(array)
        return
    if live:
        _print_probes(live)
    if live and untraceable:
        click.echo()
    if untraceable:
        _print_untraceable(untraceable)
    methods = len({each.probe.method_key for each in live})
    also = f"; {len(untraceable):,} selected and not traceable" if untraceable else ""
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
        return read_live(found)
    except OSError as error:
        raise scan.process.explain(error, "memory") from None


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
        "values": [
            {"name": value.name, "type": value.java_type, "path": value.path} for value in probe.values
        ],
        "file": probe.library.file,
        "location": probe.location,
        "semaphore": probe.semaphore,
        "semaphore_count": live.semaphore_count,
        "state": STATE_NAMES[live.state],
        "condition": probe.condition,
        "filtered": live.held.filtered,
        "throttled": live.held.throttled,
        "throttled_ns": live.held.throttled_ns,
        "least_duration_ns": live.least_duration_nanos,
        "every": live.every,
        "per_second": live.per_second,
    }


def _untraceable_as_json(untraceable: manifest_pb2.Untraceable) -> dict[str, object]:
    return {
        "class": untraceable.class_name,
        "class_loader": untraceable.class_loader_id,
        "method": untraceable.method,
        "descriptor": untraceable.descriptor,
        "traceable": False,
        "reason": untraceable.reason,
    }


def _print_probes(live: list[LiveProbe]) -> None:
    """USDT name, state, semaphore's count, the place for other tracers, and what is passed when."""
    rows = [
        (
            f"{each.probe.provider}:{each.probe.name}",
            STATE_NAMES[each.state],
            str(each.semaphore_count),
            f"{each.probe.library.file}+0x{each.probe.location:x}",
            f"0x{each.probe.semaphore:x}",
            " ".join(_method_and_values(each)),
        )
        for each in live
    ]
    print_table(("PROBE", "STATE", "COUNT", "LOCATION", "SEMAPHORE", "METHOD AND VALUES"), rows)


def _method_and_values(live: LiveProbe) -> Iterator[str]:
    probe = live.probe
    if probe.kind != MARK:
        yield f"{probe.class_name}#{probe.method}{probe.descriptor}"
    if probe.values:
        yield ", ".join(f"{value.java_type} {value.name}" for value in probe.values)
    if probe.condition:
        yield probe.condition
    gate = gate_text(live.least_duration_nanos, live.every, live.per_second)
    if gate:
        yield f"[now: {gate}]"


def _print_untraceable(untraceable: list[manifest_pb2.Untraceable]) -> None:
    """Methods, and classes as a whole, each with the reason."""
    rows = [
        (
            f"{each.class_name}#{each.method}{each.descriptor}" if each.method else each.class_name,
            each.reason,
        )
        for each in untraceable
    ]
    print_table(("NOT TRACEABLE", "REASON"), rows)

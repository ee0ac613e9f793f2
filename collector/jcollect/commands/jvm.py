"""jcollect jvm: what a JVM does by itself, as it happens."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import JvmKinds
from jcollect.cli.jvm_report import JvmReport
from jcollect.cli.options import duration_option, fail_on_loss_option
from jcollect.cli.report_options import Time
from jcollect.cli.report_source import ReportOptions, run_report
from jcollect.rpc.client_access import NO_ACCESS
from jcollect.session.marks_of_jvm import PAUSES


@click.command()
@click.argument("pid", metavar="PID")
@click.option(
    "--events",
    "kinds",
    type=JvmKinds(),
    default="gc,safepoint,compile,monitor",
    show_default=True,
    metavar="KINDS",
    help="Print these kinds of events: gc, safepoint, compile, monitor, thread, class, alloc, vmops.",
)
@click.option(
    "--min", "least", type=Time(), metavar="TIME", help="Print only events that last at least TIME: 1ms."
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@duration_option
@fail_on_loss_option
def jvm(
    pid: str,
    kinds: tuple[str, ...],
    least: int | None,
    as_json: bool,
    duration: float | None,
    fail_on_loss: bool,
) -> None:
    """Print pauses, compilations, contended monitors and other events of a JVM as they happen, and totals at
    the end. Needs no agent: the command attaches to the JVM's own USDT probes.

    Some kinds of events need a flag at the start of the JVM, which a warning names.
    """
    # The events of VM operations say what a safepoint is for.
    attached = tuple(dict.fromkeys((*kinds, *PAUSES))) if "safepoint" in kinds else kinds
    options = ReportOptions(NO_ACCESS, (), None, None, (), duration, None, fail_on_loss, jvm=attached)
    run_report([pid], lambda out: JvmReport(out, least or 0, as_json, "vmops" in kinds), options)

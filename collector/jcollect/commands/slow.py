"""jcollect slow: the slowest calls, each with its values and where its time went."""

from __future__ import annotations

from dataclasses import replace

import click

from jcollect.cli.argument_types import ExplainedParts, WholeNumber
from jcollect.cli.report_options import Time, report_options
from jcollect.cli.report_source import ReportOptions, is_recording, run_report
from jcollect.cli.selector_additions import with_capture, with_clause, with_stack
from jcollect.cli.slow_report import SlowOptions, SlowReport
from jcollect.console import status
from jcollect.probes.permission import can_place_uprobes
from jcollect.view.formats import exact_duration

# Calls are kept in memory until the end.
_MOST_CALLS = 1000
# A call that ends has its duration: entry probes would only cost time.
_ENDS = ("*__return", "*__throw")
# Without captures, return and throw probes do not pass the arguments.
_CAPTURED = "arguments, message=exception.message"
# Parts that cost little.
_EXPLAINED = frozenset(("cpu", "faults", "pauses"))


@click.command()
@report_options
@click.option(
    "-n",
    "--most",
    type=WholeNumber(most=_MOST_CALLS),
    default=10,
    show_default=True,
    metavar="N",
    help="Print the N slowest calls.",
)
@click.option(
    "--over",
    type=Time(),
    metavar="TIME",
    help="Print all calls that take at least TIME, such as 50ms, and at the end the slowest of them. With "
    "--select, the program itself decides: faster calls cost no event.",
)
@click.option(
    "--explain",
    type=ExplainedParts(),
    metavar="PARTS",
    help="With --select: say where the time of each call went, as in jcollect attach; '' for nothing. "
    "Default: cpu,faults,pauses if jcollect may load BPF programs.",
)
@click.option(
    "--no-stack",
    is_flag=True,
    help="With --select: capture no stacks, which cost some microseconds for each call that fires.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each call as a line of JSON.")
def slow(
    sources: tuple[str, ...],
    options: ReportOptions,
    most: int,
    over: int | None,
    explain: frozenset[str] | None,
    no_stack: bool,
    as_json: bool,
) -> None:
    """Print the slowest calls: each that enters the N slowest when it ends, and the final N at the end. With
    the values that its probe captures, how it ended, and where its time went, as far as that is known.

    With --select, the command attaches to PID itself. It captures the stack, and the arguments and messages
    of exceptions unless the selector has captures of its own. Otherwise it reads what a running collector
    streams. FILE is a recording of jcollect record.
    """
    is_live = bool(options.selectors) or not is_recording(sources[0])
    if explain is None:
        explain = _EXPLAINED if options.selectors and can_place_uprobes() else frozenset()
        if options.selectors and not explain:
            status("calls are not explained: that needs CAP_BPF and CAP_PERFMON; run with sudo")
    selectors = tuple(with_capture(each, _CAPTURED) for each in options.selectors)
    if not no_stack:
        selectors = tuple(map(with_stack, selectors))
    options = replace(options, selectors=selectors, own_globs=_ENDS, explain=explain)
    if over is not None:
        clause = f"duration >= {exact_duration(over)}"
        options = replace(options, selectors=tuple(with_clause(each, clause) for each in options.selectors))
    shown = SlowOptions(most, over, is_live, as_json)
    run_report(sources, lambda out: SlowReport(out, shown), options)

"""jcollect exceptions: the exceptions that leave methods, by class and message."""

from __future__ import annotations

from dataclasses import replace

import click

from jcollect.cli.argument_types import Seconds, WholeNumber
from jcollect.cli.exception_report import ExceptionOptions, ExceptionReport
from jcollect.cli.report_options import report_options
from jcollect.cli.report_source import ReportOptions, is_recording, run_report
from jcollect.cli.selector_additions import with_capture, with_stack

# Only throw probes are attached to: a call that returns costs nothing.
_THROWS = ("*__throw",)
_MESSAGE = "message=exception.message"


@click.command()
@report_options
@click.option(
    "--rows",
    type=WholeNumber(),
    default=20,
    show_default=True,
    metavar="N",
    help="Show at most N kinds of exceptions.",
)
@click.option(
    "--interval",
    type=Seconds(least=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Refresh the table on a terminal every SECONDS seconds.",
)
@click.option(
    "--fold-digits",
    is_flag=True,
    help="Count messages that differ in their digits only as one: each number becomes N.",
)
@click.option("--json", "as_json", is_flag=True, help="At the end, print each kind as a line of JSON.")
def exceptions(
    sources: tuple[str, ...],
    options: ReportOptions,
    rows: int,
    interval: float,
    fold_digits: bool,
    as_json: bool,
) -> None:
    """Count the exceptions that leave methods, by class and message, live; print the totals at the end, with
    the methods, the first and the last time. An exception that leaves several traced methods counts once.

    With --select, the command attaches to PID itself, to throw probes only. It captures the stack, and the
    message unless the selector has captures of its own. Otherwise it reads what a running collector streams:
    messages are known if its selector captures exception.message. FILE is a recording of jcollect record.
    """
    is_live = bool(options.selectors) or not is_recording(sources[0])
    selectors = tuple(with_stack(with_capture(each, _MESSAGE)) for each in options.selectors)
    options = replace(options, own_globs=_THROWS, selectors=selectors)
    shown = ExceptionOptions(rows, interval, fold_digits, as_json)
    run_report(sources, lambda out: ExceptionReport(out, shown, is_live), options)

"""jcollect tree: each call with the calls that it made."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import WholeNumber
from jcollect.cli.report_options import Time, report_options
from jcollect.cli.report_source import ReportOptions, is_recording, run_report
from jcollect.cli.tree_report import TreeOptions, TreeReport
from jcollect.view.tree_lines import MOST_DEPTH

# Trees are kept in memory until the end.
_MOST_SLOWEST = 1000


@click.command()
@report_options
@click.option(
    "--min",
    "least",
    type=Time(),
    metavar="TIME",
    help="Show only calls that take at least TIME, such as 5ms, in trees that do.",
)
@click.option(
    "--depth",
    type=WholeNumber(most=MOST_DEPTH),
    default=MOST_DEPTH,
    show_default=True,
    metavar="N",
    help="Show N levels of each tree.",
)
@click.option(
    "--slowest",
    type=WholeNumber(most=_MOST_SLOWEST),
    metavar="N",
    help="Print only the N slowest trees, at the end.",
)
@click.option("--thread", type=WholeNumber(), metavar="ID", help="Only calls of the Java thread ID.")
@click.option(
    "--merge",
    is_flag=True,
    help="At the end, print one tree: the sums of all calls by path, the methods that were running.",
)
@click.option("--values", is_flag=True, help="Show returned and captured values.")
@click.option("--json", "as_json", is_flag=True, help="Print each tree as a line of JSON.")
def tree(
    sources: tuple[str, ...],
    options: ReportOptions,
    least: int | None,
    depth: int,
    slowest: int | None,
    thread: int | None,
    merge: bool,
    values: bool,
    as_json: bool,
) -> None:
    """Print each call with the calls that it made, as a tree, when it ends: durations, times without inner
    calls, and methods. The slowest path has a color, or an asterisk.

    With --select, the command attaches to PID itself; otherwise it reads what a running collector streams.
    FILE is a recording of jcollect record.

    Only selected methods are in the tree. A call whose event was lost is a gap in it.
    """
    if merge and slowest is not None:
        raise click.UsageError("--merge sums up all trees; --slowest prints single ones")
    shown = TreeOptions(least or 0, depth, slowest, merge, thread, values, as_json)
    is_live = bool(options.selectors) or not is_recording(sources[0])
    run_report(sources, lambda out: TreeReport(out, shown, is_live), options)

"""jcollect top: each method's calls, latencies and errors, live."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import Seconds, WholeNumber
from jcollect.cli.attach_options import Table
from jcollect.cli.method_feed import MethodFeed
from jcollect.cli.method_screen import MethodScreen
from jcollect.cli.options import (
    address_argument,
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    max_overhead_option,
    probe_option,
    select_option,
)
from jcollect.cli.own_collector import check_only_with_select, run_own_collector
from jcollect.cli.privileges import narrow_to_client
from jcollect.cli.waiting import wait_for
from jcollect.console import abandon_stdout, warn
from jcollect.rpc.find import find_collector
from jcollect.rpc.subscriber import Subscriber
from jcollect.stop_request import StopRequest
from jcollect.view.method_table import SORTS
from jcollect.workers import Failures, Worker


@click.command()
@address_argument
@select_option
@max_overhead_option
@duration_option
@click.option(
    "--interval",
    type=Seconds(least=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Refresh the display every SECONDS seconds.",
)
@click.option(
    "--rows",
    type=WholeNumber(),
    default=20,
    show_default=True,
    metavar="N",
    help="Show at most N methods.",
)
@click.option(
    "--sort",
    type=click.Choice(list(SORTS)),
    default="calls",
    show_default=True,
    help="Sort the methods by this column, the largest value first.",
)
@probe_option
@fail_on_loss_option
def top(
    address: str,
    selectors: tuple[str, ...],
    max_overhead: int | None,
    duration: float | None,
    interval: float,
    rows: int,
    sort: str,
    globs: tuple[str, ...],
    fail_on_loss: bool,
) -> None:
    """Show each method's calls per second, total time, latencies and errors, live; print the totals at the
    end. On a terminal that is too narrow for all columns, the least important ones are left out.

    With --select, no collector needs to run: the command attaches to PID itself.

    Percentiles come from histograms whose buckets are accurate to 3%.
    """
    if selectors:
        run_own_collector(
            address,
            Table(rows, sort, interval),
            selectors=selectors,
            globs=globs,
            duration=duration,
            max_events=None,
            max_overhead=max_overhead,
            fail_on_loss=fail_on_loss,
        )
        return
    check_only_with_select(max_overhead)
    narrow_to_client()
    stop = StopRequest()
    with stop.first_signal_interrupts():
        collector = find_collector(address)
    failures = Failures(stop.request)
    failures.catch_library_failures()
    with Subscriber(collector.address) as client:
        feed = MethodFeed(client.subscribe(globs, duration, collector.pids), failures)
        screen = MethodScreen(rows, sort)
        worker = Worker("show methods", lambda: screen.run(feed, interval), failures, stop.request).start()
        if not wait_for(
            worker, stop, client.close_stream, duration, lambda: client.subscribed, lambda: screen.progressed
        ):
            abandon_stdout()
            warn("stdout was not read to the end; the rest was not printed")
    for warning in feed.warnings:
        warn(warning)
    failures.check()
    stop.raise_if_interrupted()
    if fail_on_loss:
        check_no_loss(sum(feed.lost.values()))

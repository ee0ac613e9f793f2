"""jcollect top: each method's calls, latencies and errors, live."""

from __future__ import annotations

import click

from jcollect.cli.access_options import client_access_options
from jcollect.cli.argument_types import Seconds, WholeNumber
from jcollect.cli.attach_options import Table
from jcollect.cli.count_client import can_count, show_counts
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
from jcollect.cli.tracing_options import own_lane_option
from jcollect.cli.waiting import wait_for
from jcollect.console import abandon_stdout, warn
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.find import find_collector
from jcollect.rpc.subscriber import Subscriber
from jcollect.stop_request import StopRequest
from jcollect.view.method_table import SORTS
from jcollect.workers import Failures, Worker


@click.command()
@address_argument
@client_access_options
@select_option
@max_overhead_option
@own_lane_option
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
@click.option(
    "--events",
    is_flag=True,
    help="Sum up single events, and not what the program counts. "
    "Always the case for entry probes and user-defined probes of a running collector.",
)
@probe_option
@fail_on_loss_option
def top(
    address: str,
    access: ClientAccess,
    selectors: tuple[str, ...],
    max_overhead: int | None,
    lane: str | None,
    duration: float | None,
    interval: float,
    rows: int,
    sort: str,
    events: bool,
    globs: tuple[str, ...],
    fail_on_loss: bool,
) -> None:
    """Show each method's calls per second, total time, latencies and errors, live; print the totals at the
    end. On a terminal that is too narrow for all columns, the least important ones are left out.

    With --select, no collector needs to run: the command attaches to PID itself.

    The program counts the calls in histograms, without an event per call. Percentiles are at most 2.2% too
    high or too low, with --events 3.1%.
    """
    if selectors:
        run_own_collector(
            address,
            Table(rows, sort, interval, events),
            selectors=selectors,
            globs=globs,
            duration=duration,
            max_events=None,
            max_overhead=max_overhead,
            lane=lane,
            fail_on_loss=fail_on_loss,
        )
        return
    check_only_with_select(max_overhead, lane)
    narrow_to_client()
    stop = StopRequest()
    with stop.first_signal_interrupts():
        collector = find_collector(address, access)
    failures = Failures(stop.request)
    failures.catch_library_failures()
    if not events and can_count(collector, globs):
        counts = MethodScreen(rows, sort)
        show_counts(
            collector,
            globs,
            interval,
            duration,
            lambda feed: counts.run(feed, interval),
            lambda: counts.progressed,
            stop,
            failures,
        )
        return
    with Subscriber(collector.address, collector.access) as client:
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

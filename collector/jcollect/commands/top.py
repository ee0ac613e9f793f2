"""jcollect top: each method's calls, latencies and errors, live."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jcollect.cli.options import (
    address_argument,
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    probe_option,
)
from jcollect.cli.waiting import wait_for
from jcollect.console import leave_stdout, plural, warn
from jcollect.hub.items import Item, Loss, Schema, Throttling
from jcollect.printable import printable
from jcollect.probes.description import Described
from jcollect.rpc.client import Client
from jcollect.rpc.find import find_place
from jcollect.sinks.terminal import lost_text, stage_name
from jcollect.stop_request import End
from jcollect.view.formats import duration_text
from jcollect.view.summary import MethodSummary, Summary
from jcollect.view.throttling import Throttled
from jcollect.workers import Failures, Worker


@click.command()
@address_argument
@duration_option
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=20, show_default=True, help="Methods shown at most."
)
@probe_option
@fail_on_loss_option
def top(
    address: str,
    duration: float | None,
    interval: float,
    rows: int,
    globs: tuple[str, ...],
    fail_on_loss: bool,
) -> None:
    """Show each method's calls per second, p50, p99 and errors, live; totals at the end.

    Percentiles come from histograms whose buckets are right within 3 percent.
    """
    end = End()
    with end.at_once():
        place = find_place(address)
    failures = Failures(end.now)
    failures.take_those_of_libraries()
    with Client(place.address) as client:
        feed = _Feed(client.subscribe(globs, duration, place.pids), failures)
        screen = _Screen(rows)
        showing = Worker("show methods", lambda: screen.run(feed, interval), failures, end.now).start()
        if not wait_for(showing, end, client.close_stream, duration, lambda: screen.progressed):
            leave_stdout()
            warn("stdout was not read to the end: what was left is not printed")
    failures.check()
    end.check()
    if fail_on_loss:
        check_no_loss(sum(feed.lost.values()))


class _Feed:
    """Receives in a thread of its own, and adds up."""

    def __init__(self, items: Iterator[Item], failures: Failures) -> None:
        self._items = items
        self._lock = threading.Lock()
        self._interval: Summary | None = None
        self._since = time.monotonic()
        self.begun = self._since
        self.totals: Summary | None = None
        self.lost: dict[str, int] = {}
        self._throttled = Throttled()
        self._worker = Worker("receive events", self._run, failures)

    def start(self) -> None:
        """Raises JcollectError where no thread can be started."""
        self._worker.start()

    def wait(self, seconds: float) -> bool:
        """Whether the stream has ended within so many seconds."""
        return self._worker.join(seconds)

    def _run(self) -> None:
        for item in self._items:
            with self._lock:
                if isinstance(item, Schema):
                    self._describe(item.probes)
                elif isinstance(item, Loss):
                    self.lost[stage_name(item)] = item.events
                elif isinstance(item, Throttling):
                    self._throttled.take(item)
                elif self._interval is not None and self.totals is not None:
                    self._interval.add(item.columns)
                    self.totals.add(item.columns)

    def _describe(self, probes: Iterable[Described]) -> None:
        if self._interval is None or self.totals is None:
            self._interval, self.totals = Summary(), Summary()
        self._throttled.describe(probes)
        self._interval.describe(probes)
        self.totals.describe(probes)

    def take_interval(self) -> tuple[float, list[MethodSummary], str]:
        """The seconds since the last call, what happened in them, and a line about all events."""
        with self._lock:
            now = time.monotonic()
            seconds, self._since = now - self._since, now
            methods = [] if self._interval is None else self._interval.methods()
            if self._interval is not None:
                self._interval.clear()
            return seconds, methods, self.received()

    def received(self) -> str:
        events = 0 if self.totals is None else self.totals.events
        parts = (f"{plural(events, 'event')} received", lost_text(self.lost), self._throttled.text())
        return ", ".join(filter(None, parts))


class _Console(Console):
    """One that does not exit by itself when the pipe is closed that it writes to."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Screen:
    """A table in place on a terminal; elsewhere one block of lines after the other.

    `progressed` is when something was last shown, by time.monotonic().
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.progressed = time.monotonic()
        # Elsewhere nothing cuts lines off: the longest method name decides.
        width = None if sys.stdout.isatty() else 160
        self._console = _Console(width=width, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def run(self, feed: _Feed, interval: float) -> None:
        """Shows what comes until it ends, and totals then. Who closes the pipe has seen enough."""
        with contextlib.suppress(BrokenPipeError):
            try:
                with self._live or contextlib.nullcontext():
                    feed.start()
                    while not feed.wait(interval):
                        self.show(*feed.take_interval())
                        self.progressed = time.monotonic()
            finally:
                if feed.totals is not None:
                    self.print_totals(feed)

    def show(self, seconds: float, methods: list[MethodSummary], received: str) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold" if self._live else "")
        for head in ("CALLS/S", "P50", "P99", "ERRORS"):
            table.add_column(head, justify="right", min_width=8)
        table.add_column("METHOD", overflow="ellipsis", no_wrap=True)
        for method in methods[: self._rows]:
            table.add_row(
                f"{method.calls / seconds:,.0f}",
                _latency(method.p50),
                _latency(method.p99),
                f"{method.errors:,}",
                Text(printable(method.name)),
            )
        if len(methods) > self._rows:
            table.add_row("", "", "", "", f"and {plural(len(methods) - self._rows, 'method')} more")
        table.caption = Text(received)
        table.caption_justify = "left"
        if self._live is not None:
            self._live.update(table, refresh=True)
        else:
            self._console.print(table)
            self._console.print()

    def print_totals(self, feed: _Feed) -> None:
        assert feed.totals is not None
        methods = feed.totals.methods()
        table = Table(box=None, pad_edge=False, header_style="bold" if self._live else "")
        for head in ("CALLS", "ERRORS", "P50", "P99", "TOTAL TIME"):
            table.add_column(head, justify="right", min_width=8)
        table.add_column("METHOD", overflow="ellipsis", no_wrap=True)
        for method in methods[: self._rows]:
            table.add_row(
                f"{method.calls:,}",
                f"{method.errors:,}",
                _latency(method.p50),
                _latency(method.p99),
                _latency(None if method.total is None else float(method.total)),
                Text(printable(method.name)),
            )
        calls = sum(method.calls for method in methods)
        errors = sum(method.errors for method in methods)
        self._console.print(Text(f"totals of {time.monotonic() - feed.begun:.1f} s"))
        self._console.print(table)
        if len(methods) > self._rows:
            self._console.print(f"and {plural(len(methods) - self._rows, 'method')} more")
        self._console.print(
            Text(
                f"{plural(len(methods), 'method')}, {plural(calls, 'call')}, {plural(errors, 'error')}; "
                f"{feed.received()}"
            ),
            soft_wrap=True,
        )


def _latency(nanos: float | None) -> str:
    return "-" if nanos is None else duration_text(nanos)

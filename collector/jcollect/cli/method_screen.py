"""Prints methods as a table that is refreshed, for `jcollect top`."""

from __future__ import annotations

import contextlib
import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jcollect.cli.method_feed import MethodFeed
from jcollect.console import plural
from jcollect.printable import printable
from jcollect.view.formats import duration_text
from jcollect.view.summary import MethodSummary


class _Console(Console):
    """Raises BrokenPipeError when stdout is closed, instead of exiting."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class MethodScreen:
    """Redraws a table on a terminal; otherwise prints one table after the other.

    `progressed` is the time.monotonic() at which a table was last printed.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.progressed = time.monotonic()
        # Only a terminal limits the width of lines.
        width = None if sys.stdout.isatty() else 160
        self._console = _Console(width=width, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def run(self, feed: MethodFeed, interval: float) -> None:
        """Prints a table every `interval` seconds until the stream ends, then the totals."""
        # The reader closes the pipe when it needs no more lines.
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

    def print_totals(self, feed: MethodFeed) -> None:
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

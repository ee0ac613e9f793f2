"""Prints methods as a table that is refreshed, for `jcollect top`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jcollect.cli.method_feed import Feed, Interval
from jcollect.console import lines_above, plural
from jcollect.view.method_table import table_lines
from jcollect.view.summary import MethodSummary

# Lines of a refreshed table besides its rows: the head, the number of methods left out, and the events.
_OTHER_LINES = 3


class _Console(Console):
    """Raises BrokenPipeError when stdout is closed, instead of exiting."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class MethodScreen:
    """Redraws a table on a terminal; otherwise prints one table after the other.

    Only a terminal limits the width of lines. `progressed` is the time.monotonic() at which a table was last
    printed.
    """

    def __init__(self, rows: int, sort: str) -> None:
        self._rows = rows
        self._sort = sort
        self.progressed = time.monotonic()
        self._console = _Console(highlight=False)
        self._is_terminal = sys.stdout.isatty() and self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False) if self._is_terminal else None

    @property
    def _width(self) -> int | None:
        return self._console.width if self._is_terminal else None

    def run(self, feed: Feed, interval: float) -> None:
        """Prints a table every `interval` seconds until the stream ends, then the totals."""
        # The reader closes the pipe when it needs no more lines.
        with contextlib.suppress(BrokenPipeError):
            try:
                with self._drawing():
                    feed.start()
                    while not feed.wait(interval):
                        self.show(feed.take_interval())
                        self.progressed = time.monotonic()
            finally:
                if feed.totals is not None and not feed.is_void:
                    self.print_totals(feed)

    @contextlib.contextmanager
    def _drawing(self) -> Iterator[None]:
        """While the table is redrawn, lines for stderr go above it."""
        if self._live is None:
            yield
            return
        with self._live, lines_above(lambda line: self._console.print(Text(line), soft_wrap=True)):
            yield

    def show(self, interval: Interval) -> None:
        rows = self._rows
        if self._live is not None:
            rows = max(1, min(rows, self._console.height - _OTHER_LINES))
        lines = table_lines(
            interval.methods, rows, self._width, self._sort, interval.seconds, interval.names_pids
        )
        lines += _more(interval.methods, rows)
        lines.append(interval.received)
        if self._live is not None:
            self._live.update(self._styled(lines), refresh=True)
        else:
            self._print([*lines, ""])

    def print_totals(self, feed: Feed) -> None:
        assert feed.totals is not None
        methods = feed.totals.methods()
        names_pids = feed.totals.has_several_processes
        self._print([f"totals of {time.monotonic() - feed.begun:.1f} s"])
        lines = table_lines(methods, self._rows, self._width, self._sort, names_pids=names_pids)
        if self._is_terminal:
            self._console.print(self._styled(lines))
        else:
            self._print(lines)
        self._print(_more(methods, self._rows))
        calls = sum(method.calls for method in methods)
        errors = sum(method.errors for method in methods)
        self._print(
            [
                f"{plural(len(methods), 'method')}, {plural(calls, 'call')}, {plural(errors, 'error')}; "
                f"{feed.received()}"
            ]
        )

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(Text(line), soft_wrap=True)

    def _styled(self, lines: Sequence[str]) -> Text:
        """Returns a table for a terminal, which cuts lines that are too wide."""
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(lines[0], style="bold")
        for line in lines[1:]:
            text.append(f"\n{line}")
        return text


def _more(methods: Sequence[MethodSummary], rows: int) -> list[str]:
    return [f"and {plural(len(methods) - rows, 'method')} more"] if len(methods) > rows else []

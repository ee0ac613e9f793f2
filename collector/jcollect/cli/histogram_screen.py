"""Prints histograms for `jcollect hist`: at the end, and of each interval if asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from jcollect.cli.attach_options import Histograms
from jcollect.cli.count_feed import Counted, CountFeed
from jcollect.console import Stdout, plural, terminal_columns
from jcollect.printable import json_text, printable
from jcollect.view.histogram_lines import bars, error_line, histogram_table, json_line

# Interval of the collector if none is printed.
QUIET_SECONDS = 1.0


class HistogramScreen:
    """Prints to stdout. `progressed` is the time.monotonic() at which something was last printed."""

    def __init__(self, options: Histograms) -> None:
        self._options = options
        self._out = Stdout()

    @property
    def progressed(self) -> float:
        return self._out.progressed

    def run(self, feed: CountFeed, interval: float) -> None:
        """Prints what each interval adds if the options ask for it, until the feed ends; then the totals."""
        # The reader closes the pipe when it needs no more lines.
        with contextlib.suppress(BrokenPipeError):
            try:
                feed.start()
                while not feed.wait(interval):
                    counted = feed.take()
                    if self._options.interval is not None:
                        self._show(counted)
            finally:
                if not feed.is_void:
                    self._show_rest(feed)

    def _show_rest(self, feed: CountFeed) -> None:
        if self._options.output == "json":
            # Lines of JSON add up to the totals, which are not printed again.
            self._show(feed.take() if self._options.interval is not None else feed.take_all())
            return
        totals = feed.take_all()
        if self._options.interval is not None:
            self._write([f"totals of {(totals.end_unix_nanos - totals.start_unix_nanos) / 1e9:.1f} s"])
        self._show(totals)
        calls = sum(each.calls.count for each in totals.methods)
        exact = error_line(feed.totals.throttled)
        self._write([f"{plural(len(totals.methods), 'method')}, {plural(calls, 'call')}; {exact}"])

    def _show(self, counted: Counted) -> None:
        if self._options.output == "json":
            quotes = self._options.json_strings
            times = counted.start_unix_nanos, counted.end_unix_nanos
            self._write([json_text(json_line(each, *times, quotes)) for each in counted.methods])
            return
        shown = counted.methods[: self._options.rows]
        self._write(histogram_table(shown, terminal_columns(), counted.names_pids))
        if len(counted.methods) > len(shown):
            self._write([f"and {plural(len(counted.methods) - len(shown), 'method')} more"])
        if self._options.buckets or len(counted.methods) == 1:
            for each in shown:
                self._write(["", printable(each.name), *bars(each.calls)])
        self._write([""] if counted.methods else [])

    def _write(self, lines: Sequence[str]) -> None:
        if lines:
            self._out.write("".join(f"{line}\n" for line in lines).encode())

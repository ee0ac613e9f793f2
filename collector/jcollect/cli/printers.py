"""Starts the printer of a collector: events, tables, histograms or reports."""

from __future__ import annotations

from typing import Protocol

from jcollect.cli.attach_options import Flame, Histograms, Output, Recorded, Reported, Table
from jcollect.console import Stdout, terminal_columns
from jcollect.hub.stream_options import EVERYTHING, StreamOptions
from jcollect.session.session import Session
from jcollect.stop_request import StopRequest


class Printer(Protocol):
    """A subscriber that prints in its own thread."""

    def begin(self) -> None:
        """Starts to print: what is attached to has been reported. Does nothing if it has started."""

    @property
    def was_discarded(self) -> bool:
        """True if events were left unprinted, for any reason."""

    @property
    def is_stuck(self) -> bool:
        """True while it waits for the reader of its output."""

    def finish(self) -> None:
        """Waits until everything is printed, or the output is not read any more."""


def start_printer(
    output: Output | None,
    json_strings: bool,
    session: Session,
    stop: StopRequest,
    out: Stdout,
    source: str = "",
    stream: StreamOptions = EVERYTHING,
) -> Printer | None:
    """Starts to print events in a format to `out`, or tables of methods, histograms or a report to stdout,
    or to record events; None for none of them. `source` names what is recorded; `stream` says which events
    are printed. With `json_strings`, 64-bit numbers in JSON are strings. Raises JcollectError if no thread
    can be started, or no recording created."""
    if output is None:
        return None
    hub, failures = session.hub, session.failures
    # Each imports what only it needs: rich, or the formats.
    if isinstance(output, Histograms):
        from jcollect.cli.count_printer import CountPrinter
        from jcollect.cli.histogram_screen import QUIET_SECONDS, HistogramScreen

        histograms = HistogramScreen(output)
        seconds = output.interval or QUIET_SECONDS
        return CountPrinter(
            session,
            seconds,
            lambda feed: histograms.run(feed, seconds),
            lambda: histograms.progressed,
            stop,
        )
    if isinstance(output, Table) and not output.events:
        from jcollect.cli.count_printer import CountPrinter
        from jcollect.cli.method_screen import MethodScreen

        table, screen = output, MethodScreen(output.rows, output.sort)
        return CountPrinter(
            session,
            table.interval,
            lambda feed: screen.run(feed, table.interval),
            lambda: screen.progressed,
            stop,
        )
    if isinstance(output, Recorded):
        from jcollect.cli.record_printer import RecordPrinter

        return RecordPrinter(session, output, source, stream)
    if isinstance(output, Flame):
        from jcollect.cli.flame_output import FlamePrinter

        return FlamePrinter(session, output, source)
    if isinstance(output, Reported):
        from jcollect.cli.report_printer import ReportPrinter

        return ReportPrinter(hub, output.make, failures, stop, out, stream)
    if isinstance(output, Table):
        from jcollect.cli.method_printer import MethodPrinter

        return MethodPrinter(hub, output, failures, stop)
    from jcollect.cli.event_printer import EventPrinter
    from jcollect.view.line_formats import line_format

    columns = terminal_columns(out.descriptor)
    return EventPrinter(hub, line_format(output, json_strings, columns), failures, stop, out, stream)

"""Starts the printer of a collector: events or tables."""

from __future__ import annotations

from typing import Protocol

from jcollect.cli.attach_options import Table
from jcollect.console import Stdout, terminal_columns
from jcollect.hub.hub import Hub
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures


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
    output: str | Table | None,
    json_strings: bool,
    hub: Hub,
    failures: Failures,
    stop: StopRequest,
    out: Stdout,
) -> Printer | None:
    """Starts to print events in a format to `out`, or tables of methods to stdout; None for neither. With
    `json_strings`, 64-bit numbers in JSON are strings. Raises JcollectError if no thread can be started."""
    if output is None:
        return None
    # Each imports what only it needs: rich, or the formats.
    if isinstance(output, Table):
        from jcollect.cli.method_printer import MethodPrinter

        return MethodPrinter(hub, output, failures, stop)
    from jcollect.cli.event_printer import EventPrinter
    from jcollect.view.line_formats import line_format

    columns = terminal_columns(out.descriptor)
    return EventPrinter(hub, line_format(output, json_strings, columns), failures, stop, out)

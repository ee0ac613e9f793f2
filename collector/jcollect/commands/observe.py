"""jcollect observe: prints the stream of a running collector."""

from __future__ import annotations

import contextlib
import signal
import sys

import click

from jcollect.commands.options import (
    address_argument,
    duration_option,
    max_events_option,
    plural,
    probe_option,
    status,
)
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jcollect.stream.printer import Printer, lost_text, stage_name


@click.command()
@address_argument
@click.option("-o", "--output", type=click.Choice(["json", "compact"]), default="compact", show_default=True)
@probe_option
@duration_option
@max_events_option
def observe(
    address: str,
    output: str,
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
) -> None:
    """Print the events that a collector streams.

    The collector is named by its address, or by the PID that it is attached to.
    """
    place = parse_address(address)
    printer = Printer(output, sys.stdout.buffer, max_events)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Client(place) as client, contextlib.suppress(KeyboardInterrupt):
        for message in client.subscribe(globs, duration):
            notice = printer.take(message)
            if notice is not None and notice.HasField("schema"):
                status(f"observing {plural(len(notice.schema.probes), 'probe')} at {place.text}")
            elif notice is not None and notice.HasField("loss"):
                status(f"lost so far ({stage_name(notice.loss)}): {plural(notice.loss.events, 'event')}")
            if printer.done:
                break
    status(f"observed {plural(printer.events, 'event')}; {lost_text(printer.lost)}")

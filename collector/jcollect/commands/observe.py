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
from jcollect.rpc.address import Address, parse_address
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
    is_first = True
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Client(place) as client, contextlib.suppress(KeyboardInterrupt):
        for message in client.subscribe(globs, duration):
            notice = printer.take(message)
            if notice is not None and notice.HasField("schema"):
                status(_observing(len(notice.schema.probes), place, is_first))
                is_first = False
            elif notice is not None and notice.HasField("loss"):
                status(f"lost so far ({stage_name(notice.loss)}): {plural(notice.loss.events, 'event')}")
            if printer.done:
                break
    status(f"observed {plural(printer.events, 'event')}; {lost_text(printer.lost)}")


def _observing(probes: int, place: Address, is_first: bool) -> str:
    if is_first:
        return f"observing {plural(probes, 'probe')} at {place.text}"
    return f"observing {plural(probes, 'probe')} more"

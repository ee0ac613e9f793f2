"""jcollect observe: prints the stream of a running collector."""

from __future__ import annotations

import contextlib
import signal
import sys

import click

from jcollect.commands.options import (
    address_argument,
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    max_events_option,
    plural,
    probe_option,
    status,
    warn,
)
from jcollect.rpc.address import Address
from jcollect.rpc.client import Client
from jcollect.rpc.find import find_place
from jcollect.stream.printer import Printer, lost_text, stage_name


@click.command()
@address_argument
@click.option("-o", "--output", type=click.Choice(["json", "compact"]), default="compact", show_default=True)
@probe_option
@duration_option
@max_events_option
@fail_on_loss_option
def observe(
    address: str,
    output: str,
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
) -> None:
    """Print the events that a collector streams.

    The collector is named by its address, or by the PID that it is attached to.
    """
    place = find_place(address)
    printer = Printer(output, sys.stdout.buffer, max_events)
    is_first = True
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Client(place.address) as client, contextlib.suppress(KeyboardInterrupt):
        for message in client.subscribe(globs, duration, place.pids):
            notice = printer.take(message)
            if notice is not None and notice.HasField("schema"):
                status(_observing(len(notice.schema.probes), place.address, is_first))
                is_first = False
            elif notice is not None and notice.HasField("loss"):
                status(f"lost so far ({stage_name(notice.loss)}): {plural(notice.loss.events, 'event')}")
            elif notice is not None and notice.HasField("throttling"):
                for line in printer.throttled.take(notice.throttling):
                    warn(line)
            if printer.done:
                break
    if printer.throttled.text():
        warn(printer.throttled.text())
    status(f"observed {plural(printer.events, 'event')}; {lost_text(printer.lost)}")
    if fail_on_loss:
        check_no_loss(sum(printer.lost.values()))


def _observing(probes: int, address: Address, is_first: bool) -> str:
    if is_first:
        return f"observing {plural(probes, 'probe')} at {address.text}"
    return f"observing {plural(probes, 'probe')} more"

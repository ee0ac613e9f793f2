"""jcollect observe: prints the stream of a running collector."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import click

from jcollect.cli.options import (
    address_argument,
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    max_events_option,
    probe_option,
)
from jcollect.cli.waiting import wait_for
from jcollect.console import Stdout, plural, status, warn
from jcollect.hub.items import Loss, Schema, Throttling
from jcollect.rpc.address import Address
from jcollect.rpc.client import Client
from jcollect.rpc.find import Place, find_place
from jcollect.sinks.terminal import TerminalSink, lost_text, stage_name
from jcollect.stop_request import End
from jcollect.workers import Failures, Worker

# Notices at once, and each second after that. A collector sends fewer.
_NOTICES = 20
_NOTICES_PER_SECOND = 5


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
    end = End()
    with end.at_once():
        place = find_place(address)
    failures = Failures(end.now)
    failures.take_those_of_libraries()
    stdout = Stdout()
    sink = TerminalSink(output, stdout, max_events)
    with Client(place.address) as client:

        def observe() -> None:
            # A closed pipe means that its reader has seen enough.
            with contextlib.suppress(BrokenPipeError):
                _observe(client, sink, place, globs, duration)

        observing = Worker("print events", observe, failures, end.now).start()
        has_ended = wait_for(observing, end, client.close_stream, duration, lambda: stdout.progressed)
    if not has_ended:
        warn("stdout was not read to the end: what was left is not printed")
    if sink.throttled.text():
        warn(sink.throttled.text())
    if sink.has_begun:
        status(f"observed {plural(sink.events, 'event')}; {lost_text(sink.lost)}")
    failures.check()
    end.check()
    if fail_on_loss:
        check_no_loss(sum(sink.lost.values()))


def _observe(
    client: Client, sink: TerminalSink, place: Place, globs: Sequence[str], duration: float | None
) -> None:
    is_first, described = True, 0
    notices = Notices()
    for item in client.subscribe(globs, duration, place.pids):
        sink.take(item)
        if isinstance(item, Schema):
            described += len(item.probes)
            if not item.has_more:
                notices.show(_observing(described, place.address, is_first))
                is_first, described = False, 0
        elif isinstance(item, Loss):
            notices.show(f"lost so far ({stage_name(item)}): {plural(item.events, 'event')}")
        elif isinstance(item, Throttling):
            for line in sink.notices:
                notices.show(f"jcollect: warning: {line}")
        if sink.done:
            break


def _observing(probes: int, address: Address, is_first: bool) -> str:
    if is_first:
        return f"observing {plural(probes, 'probe')} at {address.text}"
    return f"observing {plural(probes, 'probe')} more"


class Notices:
    """Shows what a server says about its stream; leaves lines out and counts them if they never end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._room = float(_NOTICES)
        self._left_out = 0

    def show(self, line: str) -> None:
        now = self._clock()
        self._room = min(_NOTICES, self._room + (now - self._since) * _NOTICES_PER_SECOND)
        self._since = now
        if self._room < 1:
            self._left_out += 1
            return
        self._room -= 1
        if self._left_out:
            warn(f"{plural(self._left_out, 'notice')} of the collector left out: too many at a time")
            self._left_out = 0
        status(line)

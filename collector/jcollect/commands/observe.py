"""jcollect observe: prints the stream of a running collector."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import Format
from jcollect.cli.options import (
    address_argument,
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    max_events_option,
    probe_option,
)
from jcollect.cli.stream_observer import StreamObserver
from jcollect.cli.waiting import wait_for
from jcollect.console import Stdout, plural, status, terminal_columns, warn
from jcollect.rpc.client import Client
from jcollect.rpc.find import find_collector
from jcollect.sinks.terminal import TerminalSink, lost_text
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures, Worker


@click.command()
@address_argument
@click.option("-o", "--output", type=Format(), default="compact", show_default=True)
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

    ADDRESS|PID is the collector's address, or a PID that it is attached to.
    """
    stop = StopRequest()
    with stop.first_signal_interrupts():
        collector = find_collector(address)
    failures = Failures(stop.request)
    failures.catch_library_failures()
    stdout = Stdout()
    sink = TerminalSink(output, stdout, max_events, terminal_columns())
    with Client(collector.address) as client:
        observer = StreamObserver(client, sink, collector)
        worker = Worker("print events", lambda: observer.run(globs, duration), failures, stop.request).start()
        has_ended = wait_for(worker, stop, client.close_stream, duration, lambda: stdout.progressed)
    if not has_ended:
        warn("stdout was not read to the end; the rest was not printed")
    if sink.throttled.text():
        warn(sink.throttled.text())
    if sink.has_begun:
        status(f"observed {plural(sink.events, 'event')}; {lost_text(sink.lost)}")
    failures.check()
    stop.raise_if_interrupted()
    if fail_on_loss:
        check_no_loss(sum(sink.lost.values()))

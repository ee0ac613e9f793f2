"""jcollect observe: prints the stream of a running collector."""

from __future__ import annotations

import click

from jcollect.cli.access_options import client_access_options
from jcollect.cli.argument_types import Format
from jcollect.cli.options import (
    address_argument,
    check_json_strings,
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    json_strings_option,
    max_events_option,
    max_overhead_option,
    probe_option,
    select_option,
)
from jcollect.cli.own_collector import check_only_with_select, run_own_collector
from jcollect.cli.privileges import narrow_to_client
from jcollect.cli.redaction_options import redaction_options
from jcollect.cli.stream_observer import StreamObserver
from jcollect.cli.stream_options import check_begins_now, stream_options
from jcollect.cli.tracing_options import explain_option, mark_options, own_lane_option
from jcollect.cli.waiting import wait_for
from jcollect.console import Stdout, plural, status, terminal_columns, warn
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.hub.stream_options import StreamOptions
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.find import find_collector
from jcollect.rpc.subscriber import Subscriber
from jcollect.sinks.terminal import TerminalSink, lost_text, skipped_text
from jcollect.stop_request import StopRequest
from jcollect.view.line_formats import line_format
from jcollect.workers import Failures, Worker


@click.command()
@address_argument
@client_access_options
@select_option
@max_overhead_option
@own_lane_option
@explain_option
@mark_options
@click.option("-o", "--output", type=Format(), default="compact", show_default=True)
@json_strings_option
@probe_option
@duration_option
@max_events_option
@fail_on_loss_option
@stream_options
@redaction_options
def observe(
    address: str,
    access: ClientAccess,
    selectors: tuple[str, ...],
    max_overhead: int | None,
    lane: str | None,
    explain: frozenset[str],
    jvm: tuple[str, ...],
    usdt: tuple[str, ...],
    output: str,
    json_strings: bool,
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
    stream: StreamOptions,
    redaction: RedactionRules,
) -> None:
    """Print the events that a collector streams.

    ADDRESS|PID is the collector's address, or a PID that it is attached to. With --select, no collector has
    to run: the command attaches to PID itself.
    """
    check_json_strings(json_strings, output)
    if selectors or jvm or usdt:
        check_begins_now(stream)
        run_own_collector(
            address,
            output,
            json_strings,
            selectors=selectors,
            globs=globs,
            duration=duration,
            max_events=max_events,
            max_overhead=max_overhead,
            lane=lane,
            fail_on_loss=fail_on_loss,
            stream=stream,
            redaction=redaction,
            explain=explain,
            jvm=jvm,
            usdt=usdt,
        )
        return
    check_only_with_select(max_overhead, lane, explain)
    if redaction:
        raise click.UsageError(
            "the options for redaction need --select; a running collector redacts for all of its clients"
        )
    narrow_to_client()
    stop = StopRequest()
    with stop.first_signal_interrupts():
        collector = find_collector(address, access)
    failures = Failures(stop.request)
    failures.catch_library_failures()
    stdout = Stdout()
    sink = TerminalSink(line_format(output, json_strings, terminal_columns()), stdout, max_events)
    with Subscriber(collector.address, collector.access) as client:
        observer = StreamObserver(client, sink, collector)
        worker = Worker(
            "print events", lambda: observer.run(globs, duration, stream), failures, stop.request
        ).start()
        has_ended = wait_for(
            worker, stop, client.close_stream, duration, lambda: client.subscribed, lambda: stdout.progressed
        )
    if not has_ended:
        warn("stdout was not read to the end; the rest was not printed")
    if sink.throttled.text():
        warn(sink.throttled.text())
    if sink.has_begun:
        left_out = f"; {skipped_text(sink.skipped)}" if sink.skipped.total else ""
        status(f"observed {plural(sink.events, 'event')}; {lost_text(sink.lost)}{left_out}")
    failures.check()
    stop.raise_if_interrupted()
    if fail_on_loss:
        check_no_loss(sum(sink.lost.values()))

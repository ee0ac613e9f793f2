"""Prints a recording, and serves one, for `jcollect replay`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jcollect.cli.waiting import GRACE_SECONDS, wait_until_drained
from jcollect.console import Stdout, plural, status, terminal_columns, warn
from jcollect.errors import copy_of
from jcollect.hub.items import Events, Item, Loss, Schema, Throttling
from jcollect.last_resort import last_resort, report_aborts
from jcollect.recordings.chosen import Chosen
from jcollect.recordings.pace import paced
from jcollect.recordings.reader import RecordedItem, Recording
from jcollect.recordings.replay_session import ReplaySession
from jcollect.rpc.address import parse_address
from jcollect.rpc.announcement import announced
from jcollect.rpc.listening import claim
from jcollect.rpc.server import Server, check_can_serve
from jcollect.sinks.terminal import TerminalSink, lost_text
from jcollect.sources.columns import Batch
from jcollect.stop_request import StopRequest
from jcollect.view.later import LaterParts
from jcollect.view.line_formats import line_format
from jcollect.workers import Failures, Worker

_TICK_SECONDS = 0.1
_STOP_SECONDS = 10.0


def print_recording(
    paths: Sequence[str],
    output: str,
    json_strings: bool,
    globs: Sequence[str],
    speed: float | None,
    max_events: int | None,
) -> int:
    """Prints the events, and reports losses and throttling. Returns the number of events that were lost.
    Raises JcollectError."""
    stop = StopRequest()
    failures = Failures(stop.request)
    recording, chosen, stdout = Recording(paths), Chosen(globs), Stdout()
    sink = TerminalSink(line_format(output, json_strings, terminal_columns()), stdout, max_events)
    later = LaterParts()

    def wait(seconds: float) -> bool:
        stop.wait(seconds)
        return stop.is_requested()

    def run() -> None:
        for found in paced(recording.items(), speed, wait):
            item = chosen.part(found)
            if item is not None:
                sink.take(as_item(item))
                _report(item, sink, later)
            if sink.done or stop.is_requested():
                return
        chosen.check_matched(", ".join(paths))

    # A thread of its own: the reader of stdout may not read, and a signal still ends the command.
    closed: list[BrokenPipeError] = []

    def run_until_closed() -> None:
        try:
            run()
        except BrokenPipeError as error:
            closed.append(copy_of(error))

    worker = Worker("print events", run_until_closed, failures, stop.request).start()
    while not worker.join(0.0) and not stop.is_requested():
        stop.wait(_TICK_SECONDS)
    if not wait_until_drained(worker, lambda: stdout.progressed):
        warn("stdout was not read to the end; the rest was not printed")
    for line in recording.warnings:
        warn(line)
    if sink.throttled.text():
        warn(sink.throttled.text())
    if recording.facts.end is not None and recording.facts.end.not_written:
        warn(f"{plural(recording.facts.end.not_written, 'event')} could not be recorded: the disk was full")
    failures.check()
    stop.raise_if_interrupted()
    status(f"replayed {plural(sink.events, 'event')}; {lost_text(sink.lost)}")
    return sum(sink.lost.values())


def _report(item: RecordedItem, sink: TerminalSink, later: LaterParts) -> None:
    lines: Sequence[str] = ()
    if isinstance(item, Schema):
        lines = later.in_probes(item.probes)
    elif isinstance(item, Loss):
        lines = later.in_loss(item.stage)
    elif isinstance(item, Throttling):
        lines = sink.notices
    for line in lines:
        warn(line)


def as_item(item: RecordedItem) -> Item:
    """Returns a recorded item as that of a subscription."""
    return Events(item.columns) if isinstance(item, Batch) else item


def serve_recording(paths: Sequence[str], speed: float | None, listen: str, insecure: bool) -> None:
    """Serves until everything was replayed and read, or the command is stopped. Raises JcollectError."""
    stop = StopRequest()
    failures = Failures(stop.request)
    failures.catch_library_failures()
    with claim(parse_address(listen), insecure) as claimed:
        report_aborts()
        check_can_serve()
        with stop.first_signal_interrupts():
            session = ReplaySession(paths, speed, failures)
        server = Server(session, claimed)
        try:
            with announced(server.address):
                session.start()
                status(
                    f"serving {plural(session.probe_count, 'recorded probe')} at {server.address.text}; the "
                    "replay begins with the first client that reads events"
                )
                while not session.is_over and not stop.is_requested():
                    stop.wait(_TICK_SECONDS)
                    server.disconnect_stalled()
                session.stop()
                _wait_for_clients(server, session, stop)
        finally:
            session.stop()
            with last_resort(_STOP_SECONDS, "the server does not stop; jcollect exits without stopping it"):
                server.stop()
    for line in session.warnings:
        warn(line)
    failures.check()
    stop.raise_if_interrupted()
    lost = session.hub.lost()
    status(f"replayed {plural(session.events, 'event')}; {session.hub.served:,} served, {lost:,} events lost")


def _wait_for_clients(server: Server, session: ReplaySession, stop: StopRequest) -> None:
    """Lets clients read the rest, as long as they do read; after a stop, for a short time."""
    progressed, queued = time.monotonic(), -1
    while subscribers := session.hub.subscribers():
        now, left = time.monotonic(), sum(each.queued for each in subscribers)
        if left != queued:
            progressed, queued = now, left
        if now - progressed > GRACE_SECONDS or stop.is_immediate:
            break
        server.disconnect_stalled()
        time.sleep(_TICK_SECONDS)
    unread = session.hub.discard_unread()
    if unread:
        warn(f"{plural(unread, 'subscriber')} did not read to the end; the rest of their events is lost")
    server.wait_for_streams(GRACE_SECONDS)

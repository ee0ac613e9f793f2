"""Finds the events for a report: those of a process, a running collector, or recordings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import click

from jcollect.cli.attach_options import Reported
from jcollect.cli.options import check_no_loss
from jcollect.cli.own_collector import check_only_with_select, run_own_collector
from jcollect.cli.privileges import narrow_to_client
from jcollect.cli.replay_output import as_item
from jcollect.cli.report import Report, ReportRun
from jcollect.cli.waiting import wait_for
from jcollect.console import Stdout, abandon_stdout, warn
from jcollect.errors import JcollectError
from jcollect.hub.items import EncodedEvents, Events, Item
from jcollect.recordings.chosen import Chosen
from jcollect.recordings.reader import Recording
from jcollect.rpc.address import is_number
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.find import find_collector
from jcollect.rpc.subscriber import Subscriber
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures, Worker

Make = Callable[[Stdout], Report]


@dataclass(frozen=True)
class ReportOptions:
    """The options that the commands with reports share. `own_globs` are the probes that the command
    attaches to or subscribes to if none are given, `explain` what it explains, and `jvm` the kinds of
    events of the JVM that it attaches to."""

    access: ClientAccess
    selectors: tuple[str, ...]
    max_overhead: int | None
    lane: str | None
    globs: tuple[str, ...]
    duration: float | None
    max_events: int | None
    fail_on_loss: bool
    own_globs: tuple[str, ...] = ()
    explain: frozenset[str] = frozenset()
    jvm: tuple[str, ...] = ()


def run_report(sources: Sequence[str], make: Make, options: ReportOptions) -> None:
    """Runs a report of a PID, an address or files. Raises JcollectError."""
    source = sources[0]
    if options.selectors or options.jvm:
        _check_single(sources)
        run_own_collector(
            source,
            Reported(make),
            selectors=options.selectors,
            globs=options.globs or options.own_globs,
            duration=options.duration,
            max_events=options.max_events,
            max_overhead=options.max_overhead,
            lane=options.lane,
            fail_on_loss=options.fail_on_loss,
            explain=options.explain,
            jvm=options.jvm,
        )
        return
    check_only_with_select(options.max_overhead, options.lane, options.explain)
    narrow_to_client()
    if is_recording(source):
        _run_recording(sources, make, options)
    else:
        _check_single(sources)
        _run_client(source, make, options)


def is_recording(source: str) -> bool:
    """Returns true if an argument is the path of a file, not a PID or the address of a collector."""
    return not is_number(source) and (os.path.isfile(source) or source.endswith(".jprec"))


def _check_single(sources: Sequence[str]) -> None:
    if len(sources) > 1:
        raise click.UsageError("only recordings can be several; give one PID or one address")


def _run_client(address: str, make: Make, options: ReportOptions) -> None:
    stop = StopRequest()
    with stop.first_signal_interrupts():
        collector = find_collector(address, options.access)
    failures = Failures(stop.request)
    failures.catch_library_failures()
    out = Stdout()
    report = make(out)
    with Subscriber(collector.address, collector.access) as client:

        def items() -> Iterator[Item]:
            return _first(
                client.subscribe(options.globs or options.own_globs, options.duration, collector.pids),
                options.max_events,
            )

        run = ReportRun(report, items, failures, client.close_stream)
        worker = Worker("print the report", run.run, failures, stop.request).start()
        has_ended = wait_for(
            worker,
            stop,
            client.close_stream,
            options.duration,
            lambda: client.subscribed,
            lambda: out.progressed,
        )
    _end(report, has_ended, failures, stop, options)


def _run_recording(paths: Sequence[str], make: Make, options: ReportOptions) -> None:
    if options.duration is not None:
        raise click.UsageError("--duration is for programs that run; a recording is read to its end")
    for path in paths:
        if is_number(path):
            raise JcollectError(f"cannot read {path}: it is a PID, and the others are recordings")
    stop = StopRequest()
    failures = Failures(stop.request)
    recording, chosen, out = Recording(paths), Chosen(options.globs), Stdout()
    report = make(out)

    def items() -> Iterator[Item]:
        for found in recording.items():
            item = chosen.part(found)
            if item is not None:
                yield as_item(item)
            if stop.is_requested():
                return
        chosen.check_matched(", ".join(paths))

    run = ReportRun(report, lambda: _first(items(), options.max_events), failures, stop.request)
    worker = Worker("print the report", run.run, failures, stop.request).start()
    has_ended = wait_for(worker, stop, lambda: None, None, lambda: None, lambda: out.progressed)
    for line in recording.warnings:
        warn(line)
    _end(report, has_ended, failures, stop, options)


def _end(
    report: Report, has_ended: bool, failures: Failures, stop: StopRequest, options: ReportOptions
) -> None:
    if not has_ended:
        abandon_stdout()
        warn("stdout was not read to the end; the rest was not printed")
    failures.check()
    stop.raise_if_interrupted()
    if options.fail_on_loss:
        check_no_loss(report.lost)


def _first(items: Iterator[Item], most: int | None) -> Iterator[Item]:
    """Yields items until they have had so many events. A batch is not divided."""
    events = 0
    for item in items:
        yield item
        if isinstance(item, (Events, EncodedEvents)):
            events += len(item.columns)
        if most is not None and events >= most:
            return

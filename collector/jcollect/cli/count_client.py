"""Prints what the processes of a running collector count, for `jcollect top` and `jcollect hist`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jcollect.cli.count_feed import CountFeed
from jcollect.cli.waiting import wait_for
from jcollect.console import abandon_stdout, warn
from jcollect.probes.probe import TIMED_KINDS
from jcollect.rpc.aggregator import Aggregator
from jcollect.rpc.client import Client
from jcollect.rpc.find import CollectorAddress
from jcollect.stop_request import StopRequest
from jcollect.view.summary import key_of
from jcollect.workers import Failures, Worker


def can_count(collector: CollectorAddress, globs: Sequence[str]) -> bool:
    """Returns true if the processes of the collector can count the calls of all matching probes: each method
    has a probe at which calls end. Raises JcollectError."""
    with Client(collector.address, collector.access) as client:
        probes = client.list_probes(globs, collector.pids)
    methods = {key_of(probe) for probe in probes}
    timed = {key_of(probe) for probe in probes if probe.kind in TIMED_KINDS}
    return bool(probes) and methods == timed


def show_counts(
    collector: CollectorAddress,
    globs: Sequence[str],
    interval: float,
    duration: float | None,
    show: Callable[[CountFeed], None],
    progressed: Callable[[], float],
    stop: StopRequest,
    failures: Failures,
) -> None:
    """Prints with `show` until the stream ends; `progressed` returns the time.monotonic() at which it last
    printed. Raises JcollectError."""
    with Aggregator(collector.address, collector.access) as client:
        intervals = client.aggregate(globs, collector.pids, interval, duration)
        feed = CountFeed(intervals, failures)
        worker = Worker("show methods", lambda: show(feed), failures, stop.request).start()
        if not wait_for(worker, stop, client.close_stream, duration, lambda: feed.subscribed, progressed):
            abandon_stdout()
            warn("stdout was not read to the end; the rest was not printed")
        if client.lacks_rest:
            warn("the collector has not sent the calls since its last interval; they are not counted")
    for warning in feed.warnings:
        warn(warning)
    failures.check()
    stop.raise_if_interrupted()

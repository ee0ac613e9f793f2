"""Makes flame graphs and other sums of stacks: of a recording, a running collector, or an own one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from jcollect.cli.attach_options import Flame
from jcollect.cli.options import check_no_loss
from jcollect.cli.waiting import wait_for, wait_until_drained
from jcollect.console import plural, status, warn
from jcollect.convert.flame import WRITERS
from jcollect.convert.new_file import new_file
from jcollect.convert.source import Source
from jcollect.convert.stack_sums import StackSums
from jcollect.errors import JcollectError
from jcollect.hub.items import Item, Loss
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import DiscardedError
from jcollect.rpc.find import CollectorAddress
from jcollect.rpc.subscriber import Subscriber
from jcollect.session.session import Session
from jcollect.sinks.base import consume
from jcollect.sinks.terminal import lost_text, stage_name
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures, Worker


class FlameSink:
    """Sums up a stream, and writes the file at its end. `lost` is the number of lost events by stage name."""

    def __init__(self, output: Flame, source: str) -> None:
        """`source` names what is summed up."""
        self._output = output
        self._source = source
        self.sums = StackSums(output.with_lines)
        self.lost: dict[str, int] = {}

    def take(self, item: Item) -> None:
        if isinstance(item, Loss):
            self.lost[stage_name(item)] = item.events
        self.sums.take(item)

    def write(self) -> None:
        """Writes the file, and reports it. Raises JcollectError."""
        output, sums = self._output, self.sums
        if not sums.has_stacks:
            raise JcollectError(
                f"cannot make a flame graph of {self._source}: "
                + (
                    "none of its return, throw or mark probes captures the stack; select the methods with "
                    "'Class#method(stack)'"
                    if sums.has_probes
                    else "it has no probes"
                )
            )
        if not sums.calls:
            raise JcollectError(
                f"cannot make a flame graph of {self._source}: no call has ended that passes the selector; "
                "wait longer, or choose other methods or a shorter duration"
            )
        with new_file(output.path, output.force) as file:
            WRITERS[output.suffix](sums, f"jprobe: {self._source}", output.weight, file)
        if sums.without_stack:
            warn(f"{plural(sums.without_stack, 'call')} had no stack: the agent's stack-memory was full")
        if sums.left_out:
            warn(
                f"there are too many distinct stacks; {plural(sums.left_out, 'call')} count for their method"
            )
        stacks = plural(len(sums.sums), "stack")
        status(f"wrote {plural(sums.calls, 'call')} with {stacks} to {output.path}; {lost_text(self.lost)}")


class FlamePrinter:
    """A subscriber of a collector of this process, as other printers."""

    def __init__(self, session: Session, output: Flame, pids: str) -> None:
        """Raises JcollectError if no thread can be started."""
        self._session = session
        self._sink = FlameSink(output, f"PID {pids}" if pids.isdigit() else pids)
        self._subscription = session.hub.subscribe((), peer=output.path)
        self._progressed = time.monotonic()
        self._worker = Worker("sum up stacks", self._run, session.failures).start()

    def begin(self) -> None:
        """Does nothing: events count from the start."""

    def _run(self) -> None:
        try:
            with contextlib.suppress(DiscardedError):
                for _ in consume(self._subscription, self._sink):
                    self._progressed = time.monotonic()
        except BaseException:
            self._subscription.discard_unread()
            raise

    @property
    def was_discarded(self) -> bool:
        return self._subscription.was_discarded

    @property
    def is_stuck(self) -> bool:
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Waits until everything is summed up, and writes the file."""
        wait_until_drained(self._worker, lambda: self._progressed)
        try:
            self._sink.write()
        except BaseException as error:
            self._session.failures.add(error, "write the flame graph")


def flame_of_recording(paths: Sequence[str], output: Flame, globs: Sequence[str]) -> None:
    """Raises JcollectError."""
    source = Source(paths, globs)
    sink = FlameSink(output, os.path.basename(paths[0]))
    for item in source.items():
        sink.sums.take(item)
    for line in source.warnings:
        warn(line)
    sink.lost = {stage_name(Loss(stage, events, {})): events for stage, events in source.lost.items()}
    sink.write()


def flame_of_collector(
    collector: CollectorAddress,
    output: Flame,
    globs: Sequence[str],
    duration: float | None,
    fail_on_loss: bool,
    stream: StreamOptions,
) -> None:
    """Raises JcollectError."""
    stop = StopRequest()
    failures = Failures(stop.request)
    failures.catch_library_failures()
    sink = FlameSink(output, collector.address.text)
    with Subscriber(collector.address, collector.access) as client:
        client.check_answers()
        progressed = time.monotonic()

        def run() -> None:
            nonlocal progressed
            for item in client.subscribe(globs, duration, collector.pids, stream):
                sink.take(item)
                progressed = time.monotonic()

        worker = Worker("sum up stacks", run, failures, stop.request).start()
        has_ended = wait_for(
            worker, stop, client.close_stream, duration, lambda: client.subscribed, lambda: progressed
        )
    if not has_ended:
        warn("the stream was not read to its end; the rest is left out")
    failures.check()
    sink.write()
    if fail_on_loss:
        check_no_loss(sum(sink.lost.values()))

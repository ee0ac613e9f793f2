"""Records the stream of a collector that runs already, for `jcollect record ADDRESS`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from jcollect.cli.attach_options import Recorded
from jcollect.cli.options import check_no_loss
from jcollect.cli.record_progress import Flusher, new_recorder, print_recorded
from jcollect.cli.waiting import wait_for
from jcollect.console import plural, status, warn
from jcollect.errors import JcollectError
from jcollect.hub.items import Loss, Schema
from jcollect.hub.stream_options import StreamOptions
from jcollect.recordings.recorder import Recorder
from jcollect.rpc.find import CollectorAddress
from jcollect.rpc.subscriber import Subscriber
from jcollect.sinks.terminal import lost_text, stage_name
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures, Worker
from jprobe.v1 import collector_pb2

# A collector that has ended no longer reports its hit counts: those of a short time before are recorded then.
_STATUS_SECONDS = 5.0


def record_stream(
    collector: CollectorAddress,
    output: Recorded,
    globs: Sequence[str],
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
    stream: StreamOptions,
) -> None:
    """Records until the stream ends or the command is stopped. Raises JcollectError."""
    stop = StopRequest()
    failures = Failures(stop.request)
    failures.catch_library_failures()
    with Subscriber(collector.address, collector.access) as client:
        client.check_answers()
        counts = _HitCounts(client, globs, collector.pids)
        recorder = new_recorder(output, collector.address.text, counts.now, max_events)
        lost: dict[str, int] = {}
        progress = _Progress()

        def run() -> None:
            described = 0
            for item in client.subscribe(globs, duration, collector.pids, stream):
                recorder.epoch = client.epoch
                recorder.take(item)
                progress.at = time.monotonic()
                if isinstance(item, Loss):
                    lost[stage_name(item)] = item.events
                if isinstance(item, Schema):
                    described += len(item.probes)
                    if not item.has_more:
                        status(f"recording {plural(described, 'probe')} at {collector.address.text}")
                        described = 0
                if recorder.done:
                    break

        flusher = Flusher(recorder, failures, counts.refresh)
        worker = Worker(f"record {collector.address.text}", run, failures, stop.request).start()
        has_ended = wait_for(
            worker, stop, client.close_stream, duration, lambda: client.subscribed, lambda: progress.at
        )
        flusher.stop()
        _complete(recorder, failures)
    if not has_ended:
        warn("the stream was not read to its end; the rest was not recorded")
    print_recorded(recorder)
    status(lost_text(lost))
    failures.check()
    stop.raise_if_interrupted()
    if fail_on_loss:
        check_no_loss(sum(lost.values()) + recorder.not_written)


def _complete(recorder: Recorder, failures: Failures) -> None:
    try:
        recorder.complete()
    except BaseException as error:
        failures.add(error, f"write to {recorder.path}")


class _Progress:
    """The time.monotonic() of the last item."""

    def __init__(self) -> None:
        self.at = time.monotonic()


class _HitCounts:
    """The hit counts of the collector, as last read."""

    def __init__(self, client: Subscriber, globs: Sequence[str], pids: Sequence[int]) -> None:
        self._client = client
        self._globs = globs
        self._pids = pids
        self._last: collector_pb2.GetStatusResponse | None = None
        self._read = float("-inf")

    def refresh(self) -> None:
        """Reads them if that was long ago."""
        if time.monotonic() - self._read >= _STATUS_SECONDS:
            self.now()

    def now(self) -> collector_pb2.GetStatusResponse | None:
        """Returns the current ones if the collector answers."""
        with contextlib.suppress(JcollectError):
            self._last = self._client.status(self._globs, self._pids)
        self._read = time.monotonic()
        return self._last

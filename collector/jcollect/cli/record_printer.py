"""Records the events of a collector of this process, for `jcollect record`."""

from __future__ import annotations

import contextlib
import time

from jcollect.cli.attach_options import Recorded
from jcollect.cli.record_progress import Flusher, new_recorder, print_recorded
from jcollect.cli.waiting import wait_until_drained
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import DiscardedError
from jcollect.rpc.messages import whole_status
from jcollect.session.session import Session
from jcollect.sinks.base import consume
from jcollect.workers import Worker
from jprobe.v1 import collector_pb2


class RecordPrinter:
    """A subscriber that records events in its own thread, as other printers print them."""

    def __init__(self, session: Session, output: Recorded, pids: str, stream: StreamOptions) -> None:
        """Starts to record. Raises JcollectError if the file cannot be created."""
        self._session = session
        self._recorder = new_recorder(output, pids, self._status, epoch=session.hub.epoch)
        self._subscription = session.hub.subscribe((), peer=output.path, options=stream)
        self._progressed = time.monotonic()
        self._flusher = Flusher(self._recorder, session.failures)
        self._worker = Worker(f"write to {output.path}", self._run, session.failures).start()

    def begin(self) -> None:
        """Does nothing: events are recorded from the start."""

    def _status(self) -> collector_pb2.GetStatusResponse:
        return whole_status(self._session.status())

    def _run(self) -> None:
        try:
            # The end of the session discards unread items.
            with contextlib.suppress(DiscardedError):
                for _ in consume(self._subscription, self._recorder):
                    self._progressed = time.monotonic()
        except BaseException:
            self._subscription.discard_unread()
            raise

    @property
    def was_discarded(self) -> bool:
        """True if events were left unrecorded, for any reason."""
        return self._subscription.was_discarded

    @property
    def is_stuck(self) -> bool:
        """True while events wait to be recorded."""
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Waits until everything is recorded, and writes the final hit counts."""
        wait_until_drained(self._worker, lambda: self._progressed)
        self._flusher.stop()
        try:
            self._recorder.complete()
        except BaseException as error:
            self._session.failures.add(error, f"write to {self._recorder.path}")
        print_recorded(self._recorder)

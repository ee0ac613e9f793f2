"""Makes a report of a collector's own events, for `tree`, `slow` and `exceptions` with --select."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from jcollect.cli.report import Report, ReportRun
from jcollect.cli.waiting import wait_until_drained
from jcollect.console import Stdout, abandon_stdout
from jcollect.hub.hub import Hub
from jcollect.hub.items import Item
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import DiscardedError
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures, Worker


class ReportPrinter:
    """A subscriber that feeds a report, in threads of its own."""

    def __init__(
        self,
        hub: Hub,
        make: Callable[[Stdout], Report],
        failures: Failures,
        stop: StopRequest,
        out: Stdout,
        stream: StreamOptions,
    ) -> None:
        """Starts. Raises JcollectError if no thread can be started."""
        self._subscription = hub.subscribe((), peer="stdout", options=stream)
        self._out = out
        self._stop = stop
        self._run = ReportRun(make(out), self._items, failures, self._on_done)
        self._worker = Worker("print the report", self._run_report, failures).start()

    def begin(self) -> None:
        """Does nothing: the report begins with the first event."""

    def _items(self) -> Iterator[Item]:
        try:
            # The end of the session discards unread items.
            with contextlib.suppress(DiscardedError):
                yield from self._subscription.items()
        except GeneratorExit:
            self._subscription.close()
            raise
        except BaseException:
            self._subscription.discard_unread()
            raise

    def _run_report(self) -> None:
        try:
            self._run.run()
        except BaseException:
            self._subscription.discard_unread()
            raise

    def _on_done(self) -> None:
        self._subscription.close()
        self._stop.request()

    @property
    def was_discarded(self) -> bool:
        """True if events are in no report, for any reason."""
        return self._subscription.was_discarded

    @property
    def is_stuck(self) -> bool:
        """True while the report waits to be printed."""
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Waits until the report is printed, or stdout is not read any more."""
        if not wait_until_drained(self._worker, lambda: self._out.progressed):
            abandon_stdout()

"""Prints what a process counts for this command, for `jcollect top --select` and `hist --select`."""

from __future__ import annotations

from collections.abc import Callable

from jcollect.cli.count_feed import CountFeed, own_intervals
from jcollect.cli.waiting import wait_until_drained
from jcollect.session.session import Session
from jcollect.stop_request import StopRequest
from jcollect.workers import Worker


class CountPrinter:
    """Counts and prints, in threads of its own."""

    def __init__(
        self,
        session: Session,
        interval: float,
        show: Callable[[CountFeed], None],
        progressed: Callable[[], float],
        stop: StopRequest,
    ) -> None:
        """Starts to print. `show` prints until the feed ends, and `progressed` returns the time.monotonic()
        at which it last did. Raises JcollectError if no thread can be started."""
        aggregation = session.aggregate(may_match_later=True)
        self._feed = CountFeed(own_intervals(aggregation, interval), session.failures)
        self._feed.is_void = True
        self._show = show
        self._progressed = progressed
        self._end = aggregation.end
        self._stop = stop
        self._worker = Worker("show methods", self._run, session.failures).start()

    def begin(self) -> None:
        """Lets the totals be printed: something may have been counted."""
        self._feed.is_void = False

    def _run(self) -> None:
        try:
            self._show(self._feed)
        finally:
            self._end()
        if not self._feed.wait(0.0):
            # The reader of stdout has closed the pipe because it needs no more lines.
            self._stop.request()

    @property
    def was_discarded(self) -> bool:
        """False: what is not printed is counted all the same."""
        return False

    @property
    def is_stuck(self) -> bool:
        """True while tables wait to be printed."""
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Waits until the totals are printed, or stdout is not read any more."""
        wait_until_drained(self._worker, self._progressed)

"""Prints the methods of a collector's own process as tables, for `jcollect top --select`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jcollect.cli.attach_options import Table
from jcollect.cli.method_feed import MethodFeed
from jcollect.cli.method_screen import MethodScreen
from jcollect.cli.waiting import wait_until_drained
from jcollect.console import abandon_stdout
from jcollect.hub.hub import Hub
from jcollect.hub.items import Item
from jcollect.hub.subscription import DiscardedError
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures, Worker


class MethodPrinter:
    """A subscriber that sums up events and prints tables, in threads of its own."""

    def __init__(self, hub: Hub, table: Table, failures: Failures, stop: StopRequest) -> None:
        """Starts to print. Raises JcollectError if no thread can be started."""
        self._subscription = hub.subscribe((), peer="stdout")
        self._feed = MethodFeed(self._items(), failures)
        self._screen = MethodScreen(table.rows, table.sort)
        self._interval = table.interval
        self._stop = stop
        self._worker = Worker("show methods", self._run, failures).start()

    def begin(self) -> None:
        """Does nothing: tables are printed from the start."""

    def _items(self) -> Iterator[Item]:
        try:
            # The end of the session discards unread items.
            with contextlib.suppress(DiscardedError):
                yield from self._subscription.items()
        except BaseException:
            self._subscription.discard_unread()
            raise

    def _run(self) -> None:
        try:
            self._screen.run(self._feed, self._interval)
        except BaseException:
            self._subscription.discard_unread()
            raise
        if not self._feed.wait(0.0):
            # The reader of stdout has closed the pipe because it needs no more lines.
            self._subscription.close()
            self._stop.request()

    @property
    def was_discarded(self) -> bool:
        """True if events were not summed up, for any reason."""
        return self._subscription.was_discarded

    @property
    def is_stuck(self) -> bool:
        """True while tables wait to be printed."""
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Waits until the totals are printed, or stdout is not read any more."""
        if not wait_until_drained(self._worker, lambda: self._screen.progressed):
            abandon_stdout()

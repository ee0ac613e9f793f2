"""Runs a report: what a command makes of a stream of events, and prints while it comes or at its end.

The stream may be that of a collector of the command's own, of a running collector, or a recording.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from jcollect.console import Stdout
from jcollect.hub.items import Item
from jcollect.printable import json_text
from jcollect.workers import Failures, Worker

# A report is refreshed this often, in s, also if nothing comes.
REFRESH_SECONDS = 0.25


class Report(Protocol):
    """Takes the items of a stream, in order. Only one method runs at a time."""

    @property
    def done(self) -> bool:
        """True if no more items are needed."""

    @property
    def lost(self) -> int:
        """Number of events that were lost, as last reported."""

    def take(self, item: Item) -> None:
        """Raises OSError if the output cannot be written, and MalformedStreamError."""

    def refresh(self) -> None:
        """Prints what is due at this time. Raises OSError."""

    def finish(self) -> None:
        """Prints the end. Raises OSError."""

    def drawing(self) -> contextlib.AbstractContextManager[object]:
        """Runs the part of the command in which the report may redraw the terminal."""


class Lines:
    """The output of a report: lines of text that are escaped already, or values as JSON."""

    def __init__(self, out: Stdout) -> None:
        self._out = out

    @property
    def progressed(self) -> float:
        """The time.monotonic() of the last write."""
        return self._out.progressed

    def write(self, lines: Iterable[str]) -> None:
        content = "".join(f"{line}\n" for line in lines)
        if content:
            self._out.write(content.encode(errors="backslashreplace"))

    def write_json(self, values: Iterable[object]) -> None:
        self.write(map(json_text, values))


class ReportRun:
    """Passes items to a report in a thread of its own, and refreshes it. `on_done` is called when the report
    needs no more items, or its reader has closed stdout."""

    def __init__(
        self,
        report: Report,
        items: Callable[[], Iterable[Item]],
        failures: Failures,
        on_done: Callable[[], None],
    ) -> None:
        self._report = report
        self._items = items
        self._on_done = on_done
        self._lock = threading.Lock()
        self._is_closed = False
        self._receiver = Worker("receive events", self._receive, failures)
        self.progressed = time.monotonic()

    @property
    def was_cut(self) -> bool:
        """True if items were left that the report did not need, or could not print."""
        return self._report.done or self._is_closed

    def run(self) -> None:
        """Runs until the items end. Raises JcollectError."""
        with contextlib.suppress(BrokenPipeError), self._report.drawing():
            self._receiver.start()
            while not self._receiver.join(REFRESH_SECONDS):
                with self._lock:
                    self._report.refresh()
                self.progressed = time.monotonic()
            if self._is_closed:
                return
        with contextlib.suppress(BrokenPipeError):
            self._report.finish()

    def _receive(self) -> None:
        try:
            for item in self._items():
                with self._lock:
                    self._report.take(item)
                if self._report.done:
                    break
        except BrokenPipeError:
            # The reader has closed the pipe because it needs no more output.
            self._is_closed = True
        if self.was_cut:
            self._on_done()

"""Receives the events of a collector, and sums them up by method, for `jcollect top`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jcollect.console import plural
from jcollect.hub.items import EncodedEvents, Events, Item, Loss, Schema, Throttling
from jcollect.probes.description import Described
from jcollect.sinks.terminal import lost_text, stage_name
from jcollect.view.later import LaterParts
from jcollect.view.summary import MethodSummary, Summary
from jcollect.view.throttling import ThrottledProbes
from jcollect.workers import Failures, Worker


@dataclass(frozen=True)
class Interval:
    """The methods called in an interval of `seconds`, and a line about all events so far. `names_pids` is
    true if the methods of several processes have to be distinguished."""

    seconds: float
    methods: Sequence[MethodSummary]
    received: str
    names_pids: bool


class Totals(Protocol):
    """All calls so far, by method."""

    @property
    def has_several_processes(self) -> bool: ...
    def methods(self) -> Sequence[MethodSummary]: ...


class Feed(Protocol):
    """Receives calls in its own thread, for tables. `begun` is the time.monotonic() at which it began."""

    begun: float
    # True if the totals are not to be printed.
    is_void: bool

    @property
    def totals(self) -> Totals | None: ...
    def start(self) -> None:
        """Starts to receive. Raises JcollectError if no thread can be started."""

    def wait(self, seconds: float) -> bool:
        """Waits until a table is due, for about `seconds`; returns true if the stream has ended."""

    def take_interval(self) -> Interval:
        """Returns what was called since the last call of this method."""

    def received(self) -> str:
        """Returns a line about everything so far."""


class MethodFeed:
    """Receives events in its own thread. `lost` is the number of lost events by stage name."""

    def __init__(self, items: Iterator[Item], failures: Failures) -> None:
        self._items = items
        self._lock = threading.Lock()
        # None until the first schema.
        self._interval: Summary | None = None
        self._since = time.monotonic()
        self.begun = self._since
        self.totals: Summary | None = None
        self.is_void = False
        self.lost: dict[str, int] = {}
        self._throttled = ThrottledProbes()
        self._later = LaterParts()
        # For the end, because they would disturb the table.
        self.warnings: list[str] = []
        self._worker = Worker("receive events", self._run, failures)

    def start(self) -> None:
        """Starts to receive. Raises JcollectError if no thread can be started."""
        self._worker.start()

    def wait(self, seconds: float) -> bool:
        """Waits at most `seconds`; returns true if the stream has ended."""
        return self._worker.join(seconds)

    def _run(self) -> None:
        for item in self._items:
            with self._lock:
                if isinstance(item, Schema):
                    self.warnings += self._later.in_probes(item.probes)
                    self._describe(item.probes)
                elif isinstance(item, Loss):
                    self.warnings += self._later.in_loss(item.stage)
                    self.lost[stage_name(item)] = item.events
                elif isinstance(item, Throttling):
                    self._throttled.take(item)
                elif not isinstance(item, (Events, EncodedEvents)):
                    continue
                elif self._interval is not None and self.totals is not None:
                    self._interval.add(item.columns)
                    self.totals.add(item.columns)

    def _describe(self, probes: Iterable[Described]) -> None:
        if self._interval is None or self.totals is None:
            self._interval, self.totals = Summary(), Summary()
        if not self.totals.events:
            # Probes are described before they are armed: nothing could be called until now.
            self._since = self.begun = time.monotonic()
        self._throttled.describe(probes)
        self._interval.describe(probes)
        self.totals.describe(probes)

    def take_interval(self) -> Interval:
        """Returns what was called since the last call of this method."""
        with self._lock:
            now = time.monotonic()
            seconds, self._since = now - self._since, now
            methods = [] if self._interval is None else self._interval.methods()
            if self._interval is not None:
                self._interval.clear()
            names_pids = self._interval is not None and self._interval.has_several_processes
            return Interval(seconds, methods, self.received(), names_pids)

    def received(self) -> str:
        """Returns a line about all events so far."""
        events = 0 if self.totals is None else self.totals.events
        parts = (f"{plural(events, 'event')} received", lost_text(self.lost), self._throttled.text())
        return ", ".join(filter(None, parts))

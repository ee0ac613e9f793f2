"""Reads the history of a hub for one subscriber, until the subscriber has caught up with the newest events.

It holds no part of the history: what is evicted before it has been read counts as lost. Only one thread
reads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jcollect.hub.cursor import Begin, Cursor, EpochError, FutureError, Last, Since
from jcollect.hub.history import Entry, History
from jcollect.hub.items import EncodedEvents
from jcollect.hub.items import History as HistoryNotice
from jcollect.hub.wire import encode
from jcollect.sources.columns import Batch, Flags, joined


@dataclass(frozen=True)
class Read:
    """One step: the next events, None if the subscriber has caught up, and how many were evicted before
    them."""

    events: EncodedEvents | None
    missed: int = 0


class Backlog:
    """The position of one subscriber in the history."""

    def __init__(
        self,
        history: History,
        lock: threading.Lock,
        begin: Begin | None,
        only_history: bool,
        wanted: Callable[[], Flags | None],
    ) -> None:
        """`begin` is None for the oldest event. The caller holds the `lock` of the history. `wanted` returns
        which probes are subscribed to, None for all of them. Raises CursorError."""
        self._history = history
        self._lock = lock
        self._begin = begin
        self._wanted = wanted
        self._end = history.next_seq if only_history else None
        self._since = begin.unix_nanos if isinstance(begin, Since) else 0
        # The position: a number, and the wanted events before it.
        self._seq = history.first_seq
        self._events = history.evicted(wanted())
        self._removals = history.removals
        if isinstance(begin, Cursor):
            self._resume(begin)

    def _resume(self, cursor: Cursor) -> None:
        history = self._history
        if cursor.epoch != history.epoch:
            raise EpochError("the cursor belongs to another run of the collector, whose events are gone")
        if cursor.seq > history.next_seq:
            raise FutureError(
                f"the cursor is at event {cursor.seq:,}, and the collector is at {history.next_seq:,}"
            )
        if cursor.events > cursor.seq:
            raise FutureError(f"the cursor counts {cursor.events:,} events before event {cursor.seq:,}")
        self._seq = cursor.seq
        self._events = cursor.events

    def start(self, count: Callable[[Batch], int]) -> HistoryNotice:
        """Finds the position at which the stream begins. `count` returns how many events of a batch the
        subscriber would get."""
        with self._lock:
            held = self._history.held()
            missed, is_bound = self._missed()
            evicted = self._history.evicted(self._wanted())
            if not isinstance(self._begin, Cursor):
                self._seq, self._events = self._history.first_seq, evicted
                missed = 0
        begin_time = int(held[0].events.batch.columns.time_unix_nanos[0]) if held else 0
        if isinstance(self._begin, Last):
            self._seek_last(held, self._begin.events, count)
        elif isinstance(self._begin, Since):
            self._seek_time(held, self._begin.unix_nanos)
            if evicted and not (held and self._begin.unix_nanos >= begin_time):
                # Some of them may be older than asked for.
                missed, is_bound = evicted, True
        return HistoryNotice(begin_time, missed, is_bound)

    def _missed(self) -> tuple[int, bool]:
        """Returns how many events a cursor asks for that are gone, and if that is a bound. The caller holds
        the lock."""
        history = self._history
        if self._seq >= history.first_seq:
            return 0, False
        most = history.first_seq - self._seq
        if self._seq <= history.reassigned_seq:
            return most, True
        return min(max(0, history.evicted(self._wanted()) - self._events), most), False

    def _left(self) -> int:
        """Returns the number of wanted events from the position on."""
        batches = [entry.events.batch for entry in self._history.held() if entry.end > self._seq]
        later = (batch.pick(batch.columns.seq >= np.uint64(self._seq)) for batch in batches)
        return sum(len(self._of_wanted(batch)) for batch in later)

    def _seek_last(self, held: list[Entry], last: int, count: Callable[[Batch], int]) -> None:
        """Moves to the first of the last events that the subscriber would get."""
        left, at = last, len(held)
        while at and left > 0:
            at -= 1
            left -= count(self._current(held[at].events.batch))
        for entry in held[:at]:
            self._events += len(self._current(entry.events.batch))
        if not held or last == 0:
            with self._lock:
                self._seq = self._history.next_seq
            return
        self._seq = int(held[at].events.batch.columns.seq[0])
        # The surplus is at the begin of the first entry.
        low, high = 0, len(held[at].events.batch)
        batch = held[at].events.batch
        numbers = np.arange(len(batch))
        while left < 0 and low < high:
            middle = (low + high) // 2
            if count(self._current(batch.pick(numbers <= middle))) <= -left:
                low = middle + 1
            else:
                high = middle
        if low:
            self._events += len(self._current(batch.pick(numbers < low)))
            self._seq = int(batch.columns.seq[low]) if low < len(batch) else held[at].end

    def _seek_time(self, held: list[Entry], unix_nanos: int) -> None:
        """Moves to the first entry with an event of the time or later."""
        for entry in held:
            columns = entry.events.batch.columns
            if int(columns.time_unix_nanos.max()) >= unix_nanos:
                self._seq = int(columns.seq[0])
                return
            self._events += len(self._current(entry.events.batch))
            self._seq = entry.end

    def _current(self, batch: Batch) -> Batch:
        """Returns the events of the wanted probes before the end."""
        if self._end is not None:
            batch = batch.pick(batch.columns.seq < np.uint64(self._end))
        return self._of_wanted(batch)

    def _of_wanted(self, batch: Batch) -> Batch:
        probes = batch.columns.probe
        current, wanted = self._history.current(batch), self._wanted()
        if not isinstance(current, slice):
            return batch.pick(current if wanted is None else current & wanted[probes])
        return batch if wanted is None else batch.pick(wanted[probes])

    @property
    def cursor(self) -> Cursor:
        """The position."""
        return Cursor(self._history.epoch, self._seq, self._events)

    def read(self, go_live: Callable[[], None]) -> Read:
        """Reads the next events. Calls `go_live` under the lock, and returns none, if there are none left."""
        with self._lock:
            missed, _ = self._missed()
            if self._seq < self._history.first_seq:
                self._seq = self._history.first_seq
                self._events = self._history.evicted(self._wanted())
            elif self._removals != self._history.removals:
                self._events = self._history.published(self._wanted()) - self._left()
            self._removals = self._history.removals
            at_end = self._end is not None and self._seq >= self._end
            if at_end or self._seq >= self._history.next_seq:
                go_live()
                return Read(None, missed)
            entries = self._history.after(self._seq)
            if not entries:
                # The numbers that follow are those of lost events.
                self._seq = self._history.next_seq
                go_live()
                return Read(None, missed)
        batches = [entry.events.batch for entry in entries]
        batch = joined(batches) if len(batches) > 1 else batches[0]
        columns = batch.columns
        wanted = self._current(batch.pick(columns.seq >= np.uint64(self._seq)))
        self._seq = entries[-1].end if self._end is None else min(entries[-1].end, self._end)
        self._events += len(wanted)
        if self._since:
            wanted = wanted.pick(wanted.columns.time_unix_nanos >= np.uint64(self._since))
        message = encode(wanted.columns, self.cursor)
        return Read(EncodedEvents(message, wanted.value_counts, wanted.text_sizes, self.cursor), missed)

    @property
    def ends(self) -> bool:
        """True if the stream ends where the backlog does."""
        return self._end is not None

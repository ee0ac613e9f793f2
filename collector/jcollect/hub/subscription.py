"""One subscriber of a hub: its bounded queue, and the counts of its events.

A subscriber that does not keep up loses events and never slows the reader: events that do not fit its queue
are counted by probe and reported to it. All queues together are bounded too: beyond that limit, a subscriber
with more than an equal share gets no more events.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jcollect.hub.accounts import Accounts
from jcollect.hub.backlog import Backlog
from jcollect.hub.cursor import Cursor, OnOverflow
from jcollect.hub.items import (
    EncodedEvents,
    Item,
    Loss,
    LossStage,
    Position,
    Schema,
    Skipped,
    Throttling,
)
from jcollect.hub.memory_budget import MemoryBudget
from jcollect.hub.selection import Selection
from jcollect.hub.sent_stacks import SentStacks
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscribed_probes import Filter, SubscribedProbes
from jcollect.probes.description import ProbeDescription
from jcollect.probes.globs import Budget, TooCostlyError
from jcollect.sources.columns import Flags
from jcollect.sources.stacks import StackTable

# Maximum memory of queued schemas and notices. They cannot be dropped, so a subscriber that does not read
# them is disconnected. A description with usual names uses about 512 bytes.
MOST_SCHEMA_BYTES = 64 << 20
_DESCRIPTION_BYTES = 512
_ID_BYTES = 8
_NOTICE_BYTES = 64
_NOTICE_SECONDS = 1.0
# Held while the events of a subscriber are selected.
_selecting = threading.Lock()


class TooSlowError(Exception):
    """The subscriber has not read the descriptions of new probes in time."""


class OverflowedError(Exception):
    """The subscriber has not read its events in time, and asked to be disconnected then."""


class DiscardedError(Exception):
    """The collector has exited, and the subscriber has not read its queue in time."""


@dataclass(frozen=True)
class SubscriberCounts:
    """Counts of the events that match a subscription: events = delivered + skipped + lost + queued."""

    peer: str
    events: int
    delivered: int
    lost: int
    queued: int
    queued_bytes: int
    skipped: Skipped


@dataclass(frozen=True)
class _Queued:
    item: Item
    size: int
    events: int
    is_notice: bool = False


class Subscription:
    """One subscriber's queue. `items` is for one thread; any thread may call `close`."""

    def __init__(
        self,
        matches: Callable[[ProbeDescription], bool] | None,
        probes: Sequence[ProbeDescription],
        accounts: Accounts,
        memory: MemoryBudget,
        peer: str,
        budget: Budget,
        options: StreamOptions,
        go_live: Callable[[Subscription], None],
        stacks: StackTable,
    ) -> None:
        """`probes` are the current ones; without `matches`, all of them match. `budget` belongs to `matches`.
        `go_live` has the hub offer what it publishes; the hub's lock is held.

        Raises TooCostlyError as `matches` does, and ConditionError.
        """
        # Set by the hub before `items`, if the stream begins in the past.
        self.backlog: Backlog | None = None
        # Whether the hub offers what it publishes; the hub's lock protects it.
        self.is_live = False
        self._go_live = go_live
        self._on_overflow = options.on_overflow
        self._selection = Selection(options)
        self._skipped = Skipped()
        self._stacks = SentStacks(stacks) if "values" in options.columns else None
        # The positions after the last item, after what was published last, and that the subscriber knows.
        self.cursor = Cursor(0, 0, 0)
        self._offered = self._known_cursor = self.cursor
        self.peer = peer
        self.budget = budget
        self._accounts = accounts
        self._memory = memory
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._notice_bytes = 0
        self._queued_events = 0
        # Number of events of the current item, until the subscriber requests the next one.
        self._events_in_progress = 0
        self._delivered = 0
        self._discarded_events = 0
        self._condition = threading.Condition()
        self._ended = False
        self._closed = False
        self._discarded = False
        self._too_slow = False
        self._too_costly = False
        self._overflowed = False
        self._missed = 0
        self._skipped_reported = 0
        # Nothing that it refers to refers to it: its counts of all probes take a megabyte, and go with it at
        # once. The garbage collector runs too rarely for that.
        self._probes = SubscribedProbes(matches, accounts)
        self._noticed = 0.0
        self.described = self._add_matching(probes)
        memory.open()
        self._put_schema(self.described)

    def add(self, probes: Sequence[ProbeDescription]) -> bool:
        """Queues a schema of the matching probes, before their first events are offered; returns true if
        there are any.

        Ends the stream if matching is too costly.
        """
        if self._too_costly:
            return False
        try:
            matching = self._add_matching(probes)
        except TooCostlyError:
            with self._condition:
                self._too_costly = True
                self._condition.notify()
            return False
        if matching:
            self._put_schema(matching)
        return bool(matching)

    @property
    def filter(self) -> Filter:
        """Passes the events of the probes that are subscribed to."""
        return self._probes.filter

    @property
    def has_globs(self) -> bool:
        """True if probes must be matched, by globs or PIDs."""
        return self._probes.is_filtered

    def remove(self, ids: Sequence[int]) -> None:
        """Removes permanently retired probes, so that their IDs can be reassigned."""
        self._probes.remove(ids)

    def _add_matching(self, probes: Sequence[ProbeDescription]) -> list[ProbeDescription]:
        """Returns the matching probes, and adds them to the filter."""
        matching = self._probes.matching(probes)
        self._selection.describe(matching)
        if self._stacks is not None:
            self._stacks.describe(matching)
        self._probes.add(matching, len(probes))
        return matching

    def check_condition(self) -> None:
        """Raises ConditionError if the condition fits no probe so far."""
        self._selection.check()

    @property
    def wanted(self) -> Callable[[], Flags | None]:
        """Returns which probes are subscribed to, by ID; None for all. Does not keep the subscription."""
        return self._probes.wanted

    def _put_schema(self, probes: Sequence[ProbeDescription]) -> None:
        """Queues a schema, without which later events could not be read."""
        self._put(Schema(probes), _DESCRIPTION_BYTES * len(probes))

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        """Queues a notice about matching probes that are throttled, or fire again."""
        began, ended = self._probes.wanted_of(began), self._probes.wanted_of(ended)
        if began or ended:
            notice = Throttling(began, ended, self._probes.throttled())
            self._put(notice, _ID_BYTES * (len(began) + len(ended)))

    def _put(self, item: Item, size: int) -> None:
        """Queues an item of `size` bytes regardless of the memory budget, because it cannot be dropped."""
        size += _NOTICE_BYTES
        with self._condition:
            if self._is_over:
                return
            if self._notice_bytes and self._notice_bytes + size > MOST_SCHEMA_BYTES:
                self._too_slow = True
            else:
                self._notice_bytes += size
                self._queue.append(_Queued(item, size, 0, is_notice=True))
            self._condition.notify()

    @property
    def was_discarded(self) -> bool:
        """True if unread items were discarded."""
        return self._discarded

    @property
    def lost(self) -> int:
        """Number of events that did not fit the queue, or were discarded with it."""
        with self._condition:
            return self._count_lost()

    def _count_lost(self) -> int:
        return self._probes.lost + self._discarded_events + self._missed

    def counts(self) -> SubscriberCounts:
        """Returns the counts of this subscriber's events."""
        with self._condition:
            lost = self._count_lost()
            queued = self._queued_events + self._events_in_progress
            return SubscriberCounts(
                peer=self.peer,
                events=self._delivered + self._skipped.total + lost + queued,
                delivered=self._delivered,
                lost=lost,
                queued=queued,
                queued_bytes=self._queued_bytes + self._notice_bytes,
                skipped=self._skipped,
            )

    @property
    def _is_over(self) -> bool:
        """True if nothing more is queued. The caller holds the condition."""
        return self._closed or self._too_slow or self._too_costly or self._overflowed

    def go_live(self, cursor: Cursor) -> None:
        """Takes offers from now on. The caller holds the hub's lock."""
        self.is_live = True
        with self._condition:
            self._offered = cursor
            if self.backlog is None:
                self.cursor = cursor

    def advance(self, cursor: Cursor) -> None:
        """Takes note of a batch of which no event matches."""
        with self._condition:
            self._offered = cursor

    def offer(self, events: EncodedEvents) -> None:
        """Queues a batch if the memory budget allows it; otherwise does what the subscriber has asked for.
        Never blocks."""
        size = len(events.message)
        with self._condition:
            if self._is_over:
                return
            self._offered = events.cursor
            while not self._memory.take(self._queued_bytes, size):
                if self._on_overflow != OnOverflow.DROP_OLDEST:
                    self._probes.lose(self._accounts.count(events.columns.probe))
                    if self._on_overflow == OnOverflow.DISCONNECT:
                        self._overflowed = True
                        self._condition.notify()
                    return
                self._drop_oldest()
            self._queue.append(_Queued(events, size, len(events)))
            self._queued_bytes += size
            self._queued_events += len(events)
            self._condition.notify()

    def _drop_oldest(self) -> None:
        """Drops the oldest batch of the queue, which has one: an empty queue may always have a message."""
        at = next(at for at, queued in enumerate(self._queue) if not queued.is_notice)
        dropped = self._queue[at]
        del self._queue[at]
        assert isinstance(dropped.item, EncodedEvents)
        self._probes.lose(self._accounts.count(dropped.item.columns.probe))
        self._queued_bytes -= dropped.size
        self._queued_events -= dropped.events
        self._memory.give_back(dropped.size)

    def end(self) -> None:
        """Marks the end: queued items are still delivered, and nothing more is offered."""
        with self._condition:
            self._ended = True
            self._condition.notify()

    def close(self) -> None:
        """Records that the subscriber has disconnected."""
        with self._condition:
            self._close()

    def discard_unread(self) -> None:
        """Discards unread items, counts their events as lost, and ends the subscription."""
        with self._condition:
            if not self._closed:
                behind = self.backlog is not None
                self._discarded = behind or bool(self._queue) or self._events_in_progress > 0
                self._discarded_events = self._queued_events + self._events_in_progress
            self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._memory.close(self._queued_bytes)
        self._queue.clear()
        self._queued_bytes = self._queued_events = self._events_in_progress = self._notice_bytes = 0
        self._condition.notify()

    def items(self) -> Iterator[Item]:
        """Yields items until `end` or `close`, a schema first. After each, `cursor` is the position behind
        it.

        Events count as delivered when the next item is requested. Raises TooSlowError, TooCostlyError,
        OverflowedError, DiscardedError.
        """
        for item in self._items():
            self._known_cursor = self.cursor
            yield item

    def _items(self) -> Iterator[Item]:
        if self.backlog is not None:
            yield from self._past(self.backlog)
        while True:
            with self._condition:
                self._settle()
                if not self._queue and not self._ended and not self._is_over:
                    self._condition.wait(_NOTICE_SECONDS)
                self._check()
                if self._closed:
                    return
                taken = self._take() if self._queue else None
                if taken is None:
                    self.cursor = self._offered
                    if self._ended:
                        break
            if isinstance(taken, EncodedEvents):
                yield from self._sent(taken)
            elif taken is not None:
                yield taken
            yield from self._notices(at_end=False)
        yield from self._notices(at_end=True)

    def _past(self, backlog: Backlog) -> Iterator[Item]:
        """Yields the events of the history, until the newest."""
        notice = backlog.start(self._selection.matching)
        self.cursor = backlog.cursor
        yield from self._queued_notices()
        yield notice
        while True:
            with self._condition:
                self._settle()
                self._check()
                if self._closed:
                    return
            read = backlog.read(lambda: None if backlog.ends else self._go_live(self))
            with self._condition:
                self._missed += read.missed
                self._events_in_progress = len(read.events) if read.events is not None else 0
            # The probes of these events were described before the events were published.
            yield from self._queued_notices()
            if read.missed:
                yield self._missed_notice()
            if read.events is None:
                break
            yield from self._sent(read.events)
            yield from self._notices(at_end=False)
        self.cursor = backlog.cursor
        with self._condition:
            self.backlog = None
            if backlog.ends:
                self._ended, self._offered = True, self.cursor

    def _missed_notice(self) -> Loss:
        return Loss(LossStage.HISTORY, self._missed, {})

    def _settle(self) -> None:
        self._delivered += self._events_in_progress
        self._events_in_progress = 0

    def _check(self) -> None:
        """Raises the error with which the stream ends, if it does."""
        if self._discarded:
            raise DiscardedError
        if self._closed:
            return
        if self._too_slow:
            raise TooSlowError
        if self._too_costly:
            raise TooCostlyError
        if self._overflowed:
            raise OverflowedError

    def _queued_notices(self) -> Iterator[Item]:
        """Yields what is queued while no events are."""
        while True:
            with self._condition:
                if not self._queue or not self._queue[0].is_notice:
                    return
                taken = self._take()
            yield taken

    def _sent(self, events: EncodedEvents) -> Iterator[Item]:
        """Yields the part of a batch that the request asks for, after the stacks that it refers to."""
        before = self.cursor
        found = self._selected(events)
        if found is None:
            return
        stacks = self._stacks.new_in(found) if self._stacks is not None else None
        if stacks is not None:
            # A stream that goes on from here needs the events.
            after, self.cursor = self.cursor, before
            yield stacks
            self.cursor = after
        yield found

    def _selected(self, events: EncodedEvents) -> EncodedEvents | None:
        """Returns the part of a batch that the request asks for; None if that is empty."""
        self.cursor = events.cursor
        if self._selection.is_everything:
            return events if len(events) else None
        # One at a time: the reader of events waits for Python's lock behind each thread that is busy.
        with _selecting:
            selected = self._selection.apply(events)
        with self._condition:
            if not self._closed:
                self._events_in_progress = 0 if selected.events is None else len(selected.events)
            self._skipped = self._skipped + selected.skipped
        return selected.events

    def _take(self) -> Item:
        first = self._queue.popleft()
        if first.is_notice:
            self._notice_bytes -= first.size
        else:
            self._queued_bytes -= first.size
            self._queued_events -= first.events
            self._events_in_progress = first.events
            self._memory.give_back(first.size)
        return first.item

    def _notices(self, at_end: bool) -> Iterator[Item]:
        """Yields the counts that have changed since they were last reported; at the end, all of them."""
        now = time.monotonic()
        # Only once per second: summing up thousands of counters after each batch would be expensive.
        if not at_end and now - self._noticed < _NOTICE_SECONDS:
            return
        self._noticed = now
        yield from self._probes.losses(at_end)
        if self._missed and at_end:
            yield self._missed_notice()
        if self._skipped.total != self._skipped_reported or (self._skipped.total and at_end):
            self._skipped_reported = self._skipped.total
            yield self._skipped
        yield from self._probes.throttling(at_end)
        if self._known_cursor != self.cursor:
            yield Position()

"""Distributes batches to subscribers, and keeps the newest. Encodes a batch once per distinct set of probes
and never blocks on a subscriber.

The reader of events needs the hub's lock. Work on behalf of a subscriber, such as matching its globs,
therefore runs without that lock.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from jcollect.hub.accounts import Accounts
from jcollect.hub.backlog import Backlog
from jcollect.hub.cursor import Cursor
from jcollect.hub.history import History, KeptEvents
from jcollect.hub.items import EncodedEvents
from jcollect.hub.memory_budget import MemoryBudget
from jcollect.hub.stage import Stage
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscribed_probes import Filter
from jcollect.hub.subscription import SubscriberCounts, Subscription
from jcollect.hub.wire import encode
from jcollect.probes.description import ProbeDescription
from jcollect.probes.globs import Budget, matcher
from jcollect.sources.columns import Batch
from jcollect.sources.stacks import StackTable

# Queue of one subscriber: the events of one second, at a million events per second.
QUEUE_BYTES = 64 << 20
# All queues together. Subscribers below an equal share may exceed it, so that the total can reach twice this.
ALL_QUEUES_BYTES = 128 << 20
# The newest events, for subscribers that come late or come back: some 300,000 events with numbers.
HISTORY_BYTES = 16 << 20
# Matching steps (globs.Budget) per request: enough for 100,000 probes and 64 globs, half of whose text occurs
# in many names.
MATCH_STEPS = 5_000_000_000
# Matching steps of each subscriber's globs while probes are added, which waits for them: per addition, and
# per probe. Beyond this number of subscribers with globs, they share the total.
_ADD_STEPS = 100_000_000
_ADD_STEPS_OF_ONE = 6_000
_ADD_SHARES = 8
# Maximum number of globs that a message names, and of characters of each.
_NAMED = 3
_NAMED_LENGTH = 100


class Part(NamedTuple):
    """The events of a batch that pass a filter, None if there are none, and the position after the batch."""

    events: EncodedEvents | None
    cursor: Cursor


class NoSuchProbeError(Exception):
    """A subscription matches no probe. The message contains its globs or the PID."""


class Hub:
    """The subscribers of one collector, and the probes that they can match."""

    def __init__(
        self,
        probes: Sequence[ProbeDescription],
        accounts: Accounts,
        queue_bytes: int = QUEUE_BYTES,
        all_queues_bytes: int = ALL_QUEUES_BYTES,
        history_bytes: int = HISTORY_BYTES,
        stages: Sequence[Stage] = (),
        stacks: StackTable | None = None,
    ) -> None:
        """`stages` change batches before they are published, in this order. `stacks` has those that events
        refer to."""
        self.stacks = StackTable() if stacks is None else stacks
        self._probes = {probe.id: probe for probe in probes}
        self._stages = stages
        for stage in stages:
            stage.describe(probes)
        self._accounts = accounts
        self._memory = MemoryBudget(queue_bytes, all_queues_bytes)
        self._lock = threading.Lock()
        # Random, so that a cursor of another run is recognized.
        self.epoch = secrets.randbits(63) | 1
        self._history = History(history_bytes, accounts.capacity, self.epoch)
        # Events published so far by set of probes: Filter.key.
        self._totals: dict[bytes | None, int] = {}
        # Held while probes are added or removed, and matched. The reader never takes it.
        self._changing = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._ended = False
        self.served = 0
        self._lost_by_disconnected = 0

    def subscribe(
        self,
        globs: Iterable[str],
        probes: Iterable[ProbeDescription] = (),
        pids: Collection[int] = (),
        peer: str = "",
        options: StreamOptions | None = None,
    ) -> Subscription:
        """Subscribes from now on, or from where the options say. `probes` are probes of the hub in their
        current state. `pids` limit the subscription to some processes; empty means no limit.

        Raises NoSuchProbeError if the globs match nothing, TooCostlyError if matching them takes too long,
        ConditionError, CursorError.
        """
        patterns, options = list(globs), options or StreamOptions()
        now = {probe.id: probe for probe in probes}
        with self._lock:
            known = dict(self._probes)
        budget = Budget(MATCH_STEPS)
        # Probes added since `probes` were read are described as they were when added.
        described = [now.get(number, probe) for number, probe in known.items()]
        matches = matching(patterns, pids, budget, options.deny)
        subscription = Subscription(
            matches,
            described,
            self._accounts,
            self._memory,
            peer,
            budget,
            options,
            self._go_live,
            self.stacks,
        )
        try:
            self._join(subscription, known, patterns, options)
        except BaseException:
            subscription.close()
            raise
        return subscription

    def _join(
        self,
        subscription: Subscription,
        known: dict[int, ProbeDescription],
        patterns: Sequence[str],
        options: StreamOptions,
    ) -> None:
        """Adds a subscription that knows some probes."""
        with self._lock:
            removed = [number for number, probe in known.items() if self._probes.get(number) is not probe]
            added = [probe for number, probe in self._probes.items() if known.get(number) is not probe]
            subscription.remove(removed)
            if not subscription.add(added) and (patterns or options.deny) and not subscription.described:
                raise NoSuchProbeError(few_of(patterns or [f"all but {few_of(options.deny)}"]))
            subscription.check_condition()
            if options.has_history:
                wanted = subscription.wanted
                subscription.backlog = Backlog(
                    self._history, self._lock, options.begin, options.only_history, wanted
                )
            else:
                self._go_live(subscription)
            self.served += 1
            if self._ended:
                subscription.end()
            self._subscriptions.append(subscription)

    def _go_live(self, subscription: Subscription) -> None:
        """Offers a subscriber what is published from now on. The caller holds the lock."""
        passes = subscription.filter
        if passes.key not in self._totals:
            self._totals[passes.key] = self._history.published(passes.wanted)
        subscription.go_live(Cursor(self.epoch, self._history.next_seq, self._totals[passes.key]))

    def add(self, probes: Sequence[ProbeDescription]) -> None:
        """Adds probes, before their first events are published. For any thread."""
        with self._changing:
            for stage in self._stages:
                stage.describe(probes)
            with self._lock:
                self._probes.update({probe.id: probe for probe in probes})
                subscriptions = list(self._subscriptions)
            matching = sum(subscription.has_globs for subscription in subscriptions)
            share = min(1.0, _ADD_SHARES / max(matching, 1))
            for subscription in subscriptions:
                subscription.budget.left = share * (_ADD_STEPS + _ADD_STEPS_OF_ONE * len(probes))
                subscription.add(probes)

    def remove(self, ids: Sequence[int]) -> None:
        """Removes probes that are permanently retired and have no event in flight. For any thread."""
        with self._changing, self._lock:
            for number in ids:
                del self._probes[number]
            self._history.forget(ids)
            self._totals.clear()
            for subscription in self._subscriptions:
                subscription.remove(ids)

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        """Notifies the subscribers of these probes that they are throttled, or fire again."""
        with self._lock:
            for subscription in self._subscriptions:
                subscription.throttle(began, ended)

    def leave(self, subscription: Subscription) -> None:
        """Removes a subscriber that has disconnected or received everything."""
        subscription.close()
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                self._lost_by_disconnected += subscription.lost

    def subscribers(self) -> list[SubscriberCounts]:
        """Returns the counts of the current subscribers."""
        with self._lock:
            subscriptions = list(self._subscriptions)
        return [subscription.counts() for subscription in subscriptions]

    @property
    def lost_by_disconnected(self) -> int:
        """The events that disconnected subscribers had lost."""
        with self._lock:
            return self._lost_by_disconnected

    def publish(self, batch: Batch) -> None:
        """Offers a batch to every subscriber that matches some of its events."""
        for stage in self._stages:
            batch = stage.apply(batch)
        with self._lock:
            history = self._history
            counted = history.advance(batch)
            subscriptions = [each for each in self._subscriptions if each.is_live]
            filters = [subscription.filter for subscription in subscriptions]
            parts: dict[bytes | None, Part] = {}
            for passes in filters:
                if passes.key not in parts:
                    parts[passes.key] = self._part(batch, passes)
            self._totals = {key: part.cursor.events for key, part in parts.items()}
            if history.is_kept:
                history.add(self._kept(batch, parts), counted)
            else:
                history.skip(counted)
        for subscription, passes in zip(subscriptions, filters, strict=True):
            part = parts[passes.key]
            if part.events is None:
                subscription.advance(part.cursor)
            else:
                subscription.offer(part.events)

    def _kept(self, batch: Batch, parts: Mapping[bytes | None, Part]) -> EncodedEvents | KeptEvents:
        """Returns a batch for the history: as it was encoded, or a copy."""
        everything = parts.get(None)
        if everything is not None and everything.events is not None:
            return everything.events
        cursor = Cursor(self.epoch, self._history.next_seq, 0)
        return KeptEvents(batch.kept(), cursor, batch.size)

    def _part(self, batch: Batch, passes: Filter) -> Part:
        """Returns the events of a batch that pass a filter. The caller holds the lock, and has counted the
        batch."""
        part = batch if passes.wanted is None else batch.pick(passes.wanted[batch.columns.probe])
        before = self._totals.get(passes.key)
        total = self._history.published(passes.wanted) if before is None else before + len(part)
        cursor = Cursor(self.epoch, self._history.next_seq, total)
        if not len(part):
            return Part(None, cursor)
        # The counts belong to the source, which overwrites them.
        counts, sizes = part.value_counts.copy(), part.text_sizes.copy()
        return Part(EncodedEvents(encode(part.columns, cursor), counts, sizes, cursor), cursor)

    def end(self) -> None:
        """Marks the end: subscribers still receive their queues, and nothing more."""
        with self._lock:
            self._ended = True
            for subscription in self._subscriptions:
                subscription.end()

    def discard_unread(self) -> int:
        """Ends all subscriptions immediately; returns how many had unread items."""
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.discard_unread()
        return sum(subscription.was_discarded for subscription in subscriptions)

    def lost(self) -> int:
        """Returns the events that slow subscribers have lost, including disconnected ones."""
        with self._lock:
            return self._lost_by_disconnected + sum(subscription.lost for subscription in self._subscriptions)


class NoEventsError(Exception):
    """There are no events to subscribe to. The message is a sentence without a period."""


def check_pids(pids: Collection[int], traced: Iterable[int]) -> None:
    """Raises NoSuchProbeError if one of the PIDs is not traced."""
    unknown = set(pids).difference(traced)
    if unknown:
        raise NoSuchProbeError(f"PID {min(unknown)}")


def matching(
    globs: Sequence[str],
    pids: Collection[int],
    budget: Budget | None = None,
    deny: Sequence[str] = (),
) -> Callable[[ProbeDescription], bool] | None:
    """Returns a function that returns true if a probe matches globs and PIDs, and none of the globs in
    `deny`; None if every probe does.

    The function raises TooCostlyError when the budget is used up, by default that of one request.
    """
    if not globs and not pids and not deny:
        return None
    budget = budget or Budget(MATCH_STEPS)
    matches = matcher(globs, budget)
    denied = matcher(deny, budget) if deny else lambda _: False
    processes = frozenset(pids)
    return lambda probe: (not processes or probe.pid in processes) and matches(probe) and not denied(probe)


def few_of(globs: Sequence[str]) -> str:
    """Returns the first few globs, truncated if long, and how many more there are."""
    named = [glob if len(glob) <= _NAMED_LENGTH else f"{glob[:_NAMED_LENGTH]}…" for glob in globs[:_NAMED]]
    more = len(globs) - _NAMED
    return ", ".join([*named, f"or {more:,} more"] if more > 0 else named)

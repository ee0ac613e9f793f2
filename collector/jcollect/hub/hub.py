"""Distributes batches to subscribers. Encodes a batch once per distinct filter and never blocks on a
subscriber.

The reader of events needs the hub's lock. Work on behalf of a subscriber, such as matching its globs,
therefore runs without that lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from jcollect.hub.accounts import Accounts
from jcollect.hub.items import EncodedEvents
from jcollect.hub.memory_budget import MemoryBudget
from jcollect.hub.subscription import SubscriberCounts, Subscription
from jcollect.hub.wire import encode
from jcollect.probes.description import ProbeDescription
from jcollect.probes.globs import Budget, matcher
from jcollect.sources.columns import Batch

# Queue of one subscriber: the events of one second, at a million events per second.
QUEUE_BYTES = 64 << 20
# All queues together. Subscribers below an equal share may exceed it, so that the total can reach twice this.
ALL_QUEUES_BYTES = 128 << 20
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
    ) -> None:
        self._probes = {probe.id: probe for probe in probes}
        self._accounts = accounts
        self._memory = MemoryBudget(queue_bytes, all_queues_bytes)
        self._lock = threading.Lock()
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
    ) -> Subscription:
        """Subscribes from now on. `probes` are probes of the hub in their current state. `pids` limit the
        subscription to some processes; empty means no limit.

        Raises NoSuchProbeError if the globs match nothing, TooCostlyError if matching them takes too long.
        """
        patterns = list(globs)
        now = {probe.id: probe for probe in probes}
        with self._lock:
            known = dict(self._probes)
        budget = Budget(MATCH_STEPS)
        # Probes added since `probes` were read are described as they were when added.
        described = [now.get(number, probe) for number, probe in known.items()]
        subscription = Subscription(
            matching(patterns, pids, budget), described, self._accounts, self._memory, peer, budget
        )
        with self._lock:
            removed = [number for number, probe in known.items() if self._probes.get(number) is not probe]
            added = [probe for number, probe in self._probes.items() if known.get(number) is not probe]
            subscription.remove(removed)
            if not subscription.add(added) and patterns and not subscription.described:
                subscription.close()
                raise NoSuchProbeError(few_of(patterns))
            self.served += 1
            if self._ended:
                subscription.end()
            self._subscriptions.append(subscription)
        return subscription

    def add(self, probes: Sequence[ProbeDescription]) -> None:
        """Adds probes, before their first events are published. For any thread."""
        with self._changing:
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
        with self._lock:
            subscriptions = list(self._subscriptions)
        encoded: dict[bytes | None, tuple[EncodedEvents, Batch] | None] = {}
        for subscription in subscriptions:
            passes = subscription.filter
            if passes.key not in encoded:
                wanted = passes.wanted
                part = batch if wanted is None else batch.pick(wanted[batch.columns.probe])
                encoded[passes.key] = (EncodedEvents(encode(part.columns)), part) if len(part) else None
            events = encoded[passes.key]
            if events is not None:
                subscription.offer(*events)

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


def check_pids(pids: Collection[int], traced: Iterable[int]) -> None:
    """Raises NoSuchProbeError if one of the PIDs is not traced."""
    unknown = set(pids).difference(traced)
    if unknown:
        raise NoSuchProbeError(f"PID {min(unknown)}")


def matching(
    globs: Sequence[str], pids: Collection[int], budget: Budget | None = None
) -> Callable[[ProbeDescription], bool] | None:
    """Returns a function that returns true if a probe matches globs and PIDs; None if every probe does.

    The function raises TooCostlyError when the budget is used up, by default that of one request.
    """
    if not globs and not pids:
        return None
    matches = matcher(globs, budget or Budget(MATCH_STEPS))
    processes = frozenset(pids)
    return lambda probe: (not processes or probe.pid in processes) and matches(probe)


def few_of(globs: Sequence[str]) -> str:
    """Returns the first few globs, truncated if long, and how many more there are."""
    named = [glob if len(glob) <= _NAMED_LENGTH else f"{glob[:_NAMED_LENGTH]}…" for glob in globs[:_NAMED]]
    more = len(globs) - _NAMED
    return ", ".join([*named, f"or {more:,} more"] if more > 0 else named)

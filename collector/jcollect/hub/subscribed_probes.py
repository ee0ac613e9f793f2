"""The probes of one subscription, and the counts of their events at each stage since the subscription
began."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.hub.accounts import Accounts
from jcollect.hub.items import Loss, LossStage, Throttling
from jcollect.probes.description import ProbeDescription
from jcollect.sources.columns import U64, Flags


@dataclass(frozen=True)
class Filter:
    """A filter of events: `wanted` has a bool per probe ID; None passes all events.

    Two filters that pass the same probes have the same `key`.
    """

    wanted: Flags | None = None
    key: bytes | None = None


class _Account:
    """One kind of count of a subscriber's events, such as those lost at a stage, since it subscribed."""

    def __init__(self, read: Callable[[], U64]) -> None:
        """`read` returns counts by probe ID that never decrease, even if an ID is reassigned."""
        self._read = read
        self._before = read().copy()
        self._of_removed = 0
        self._reported = 0

    def counts(self, wanted: Flags | None) -> U64:
        """Returns the counts by probe ID, for the current probes."""
        counts = self._read() - self._before
        return counts if wanted is None else counts * wanted

    def total(self, counts: U64) -> int:
        """Returns the total of the counts, including removed probes."""
        return self._of_removed + int(counts.sum())

    def has_changed(self, total: int) -> bool:
        """Returns true if the total differs from the one last reported, and records it as reported."""
        before, self._reported = self._reported, total
        return total != before

    def forget(self, ids: Sequence[int], wanted: Flags | None) -> None:
        """Keeps only the total of removed probes, so that their IDs can be reassigned."""
        now = self._read()[ids]
        counts = now - self._before[ids]
        self._of_removed += int((counts if wanted is None else counts * wanted[ids]).sum())
        self._before[ids] = now


class _Lost:
    """Numbers of lost events by probe ID."""

    def __init__(self, capacity: int) -> None:
        self._counts = np.zeros(capacity, np.uint64)

    def read(self) -> U64:
        return self._counts

    def add(self, by_probe: U64) -> None:
        self._counts = self._counts + by_probe


class SubscribedProbes:
    """Which probes are subscribed to: `filter`. For any thread."""

    def __init__(
        self,
        matches: Callable[[ProbeDescription], bool] | None,
        accounts: Accounts,
    ) -> None:
        """Without `matches`, all probes are subscribed to."""
        self.filter = Filter()
        self._matches = matches
        self._known = 0
        self._wanted = np.zeros(accounts.capacity, np.bool_)
        self._lost_by_subscriber = _Lost(accounts.capacity)
        self._losses = {
            LossStage.KERNEL_RING: _Account(accounts.lost_in_ring),
            LossStage.DIRECT_RING: _Account(accounts.lost_in_direct_rings),
            LossStage.COLLECTOR: _Account(accounts.lost_in_collector),
            LossStage.SUBSCRIBER: _Account(self._lost_by_subscriber.read),
        }
        self._throttled = _Account(accounts.throttled)
        # The accounts and the set of probes change together, under this lock.
        self._lock = threading.Lock()

    @property
    def lost(self) -> int:
        """Number of events that the subscriber has lost."""
        return int(self._lost_by_subscriber.read().sum())

    def lose(self, by_probe: U64) -> None:
        """Counts events that the subscriber has lost, by probe ID."""
        self._lost_by_subscriber.add(by_probe)

    def wanted(self) -> Flags | None:
        """Returns which probes are subscribed to, by ID; None for all."""
        return self.filter.wanted

    @property
    def is_filtered(self) -> bool:
        """True if probes must be matched, by globs or PIDs."""
        return self._matches is not None

    def matching(self, probes: Sequence[ProbeDescription]) -> list[ProbeDescription]:
        """Returns the probes that match. Raises what `matches` does."""
        if self._matches is None:
            return list(probes)
        return [probe for probe in probes if self._matches(probe)]

    def add(self, matching: Sequence[ProbeDescription], known: int) -> None:
        """Adds matching probes to the filter, of `known` new ones."""
        self._known += known
        if self._matches is not None:
            wanted = self._wanted.copy()
            wanted[[probe.id for probe in matching]] = True
            self._filter_by(wanted)

    def remove(self, ids: Sequence[int]) -> None:
        """Removes permanently retired probes, so that their IDs can be reassigned."""
        self._known -= len(ids)
        with self._lock:
            for account in (*self._losses.values(), self._throttled):
                account.forget(ids, self.filter.wanted)
            if self._matches is not None:
                wanted = self._wanted.copy()
                wanted[ids] = False
                self._filter_by(wanted)

    def _filter_by(self, wanted: Flags) -> None:
        self._wanted = wanted
        # If all probes match, batches need no filtering.
        self.filter = Filter() if wanted.sum() == self._known else Filter(wanted, wanted.tobytes())

    def wanted_of(self, ids: Sequence[int]) -> list[int]:
        """Returns the IDs that are subscribed to."""
        return list(ids) if self._matches is None else [each for each in ids if self._wanted[each]]

    def throttled(self) -> int:
        """Returns the number of throttled calls."""
        return self._read(self._throttled)[1]

    def losses(self, at_end: bool) -> Iterator[Loss]:
        """Yields the losses that have changed since they were last reported; at the end, all of them."""
        for stage, account in self._losses.items():
            counts, total = self._read(account)
            if total and (account.has_changed(total) or at_end):
                lost = np.flatnonzero(counts).tolist()
                yield Loss(stage, total, {probe: int(counts[probe]) for probe in lost})

    def throttling(self, at_end: bool) -> Iterator[Throttling]:
        """Yields the number of throttled calls if it has changed since it was last reported; at the end, if
        there are any."""
        throttled = self.throttled()
        if throttled and (self._throttled.has_changed(throttled) or at_end):
            yield Throttling(throttled=throttled)

    def _read(self, account: _Account) -> tuple[U64, int]:
        """Returns the counts by probe ID, and the total, of the subscribed probes."""
        with self._lock:
            counts = account.counts(self.filter.wanted)
            return counts, account.total(counts)

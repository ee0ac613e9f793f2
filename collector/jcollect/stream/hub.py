"""Hands batches to subscribers: encoded once for each distinct filter, never waiting for anybody.

A subscriber that does not keep up loses events, not the reader: its queue is bounded in bytes, and what
finds no room is counted by probe and told to it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.discovery.globs import matcher
from jcollect.stream.accounts import Accounts
from jcollect.stream.columns import U64, Batch, Flags
from jcollect.stream.wire import encode
from jprobe.v1 import collector_pb2

QUEUE_BYTES = 64 << 20
_LOSS_SECONDS = 1.0


class NoSuchProbeError(Exception):
    """The globs of a subscription match nothing."""


@dataclass(frozen=True)
class Filter:
    """What passes: `wanted` has a bool for each id that there can be; None lets everything pass.

    `key` is the same for two filters that let the same pass.
    """

    wanted: Flags | None = None
    key: bytes | None = None


class Subscription:
    """One subscriber's queue. `messages` is for one thread; `close` may be called by any."""

    def __init__(
        self, globs: Sequence[str], probes: Sequence[collector_pb2.Probe], accounts: Accounts, limit: int
    ) -> None:
        """`probes` are those that there are; no globs want every probe."""
        self.filter = Filter()
        self._is_meant = matcher(globs) if globs else None
        self._known = 0
        self._wanted = np.zeros(accounts.capacity, np.bool_)
        self._accounts = accounts
        self._limit = limit
        # With how much each counts against the limit.
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued_bytes = 0
        self._condition = threading.Condition()
        self._ended = False
        self._closed = False
        self._lost: U64 | None = None
        self._ring_before = accounts.lost_in_ring()
        self._collector_before = accounts.lost_in_collector()
        self._told: dict[collector_pb2.LossStage, tuple[int, float]] = {}
        self.described = self._let_pass(probes)
        self._put_schema(self.described)

    def add(self, probes: Sequence[collector_pb2.Probe]) -> None:
        """Queues a schema of those that are wanted; to be called before their first events are offered."""
        meant = self._let_pass(probes)
        if meant:
            self._put_schema(meant)

    def _let_pass(self, probes: Sequence[collector_pb2.Probe]) -> list[collector_pb2.Probe]:
        """Those that are wanted, which the filter lets pass from now on."""
        self._known += len(probes)
        if self._is_meant is None:
            return list(probes)
        meant = [probe for probe in probes if self._is_meant(probe)]
        wanted = self._wanted.copy()
        wanted[[probe.id for probe in meant]] = True
        self._wanted = wanted
        # Where every probe passes, nothing has to be picked out.
        self.filter = Filter() if wanted.sum() == self._known else Filter(wanted, wanted.tobytes())
        return meant

    def _put_schema(self, probes: Sequence[collector_pb2.Probe]) -> None:
        """Whatever is queued already: without it, what follows could not be read."""
        schema = collector_pb2.Schema(probes=probes)
        message = collector_pb2.SubscribeResponse(schema=schema).SerializeToString()
        with self._condition:
            if not self._closed:
                self._queue.append((message, 0))
            self._condition.notify()

    @property
    def lost(self) -> int:
        """Events that found no room in the queue."""
        return 0 if self._lost is None else int(self._lost.sum())

    def offer(self, message: bytes, batch: Batch) -> None:
        """Queues an encoded batch, or counts its events as lost."""
        with self._condition:
            if self._closed:
                return
            if self._queued_bytes + len(message) > self._limit:
                counts = self._accounts.count(batch.columns.probe)
                self._lost = counts if self._lost is None else self._lost + counts
            else:
                self._queue.append((message, len(message)))
                self._queued_bytes += len(message)
            self._condition.notify()

    def end(self) -> None:
        """Nothing more will be offered; what is queued is still delivered."""
        with self._condition:
            self._ended = True
            self._condition.notify()

    def close(self) -> None:
        """The subscriber has gone."""
        with self._condition:
            self._closed = True
            self._queue.clear()
            self._queued_bytes = 0
            self._condition.notify()

    def messages(self) -> Iterator[bytes]:
        """Encoded SubscribeResponses until `end` or `close`: the schema, then whatever comes."""
        while True:
            with self._condition:
                if not self._queue and not self._ended and not self._closed:
                    self._condition.wait(_LOSS_SECONDS)
                if self._closed:
                    return
                message, counted = self._queue.popleft() if self._queue else (None, 0)
                self._queued_bytes -= counted
                if message is None and self._ended:
                    break
            if message is not None:
                yield message
            yield from self._loss_notices(at_end=False)
        yield from self._loss_notices(at_end=True)

    def _loss_notices(self, at_end: bool) -> Iterator[bytes]:
        now = time.monotonic()
        for stage in (
            collector_pb2.LOSS_STAGE_KERNEL_RING,
            collector_pb2.LOSS_STAGE_COLLECTOR,
            collector_pb2.LOSS_STAGE_SUBSCRIBER,
        ):
            events, when = self._told.get(stage, (0, 0.0))
            if not at_end and now - when < _LOSS_SECONDS:
                continue
            counts = self._counts(stage)
            total = 0 if counts is None else int(counts.sum())
            # Looked at once a second only: adding up thousands of counters after each batch would tell.
            self._told[stage] = (total, now)
            if counts is None or total == 0 or (total == events and not at_end):
                continue
            loss = collector_pb2.Loss(stage=stage, events=total)
            for probe in np.flatnonzero(counts).tolist():
                loss.probes.add(probe=probe, events=int(counts[probe]))
            yield collector_pb2.SubscribeResponse(loss=loss).SerializeToString()

    def _counts(self, stage: collector_pb2.LossStage) -> U64 | None:
        if stage == collector_pb2.LOSS_STAGE_SUBSCRIBER:
            with self._condition:
                return self._lost
        if stage == collector_pb2.LOSS_STAGE_KERNEL_RING:
            counts = self._accounts.lost_in_ring() - self._ring_before
        else:
            counts = self._accounts.lost_in_collector() - self._collector_before
        wanted = self.filter.wanted
        return counts if wanted is None else counts * wanted


class Hub:
    """The subscribers of one collector, and the probes that they may hear of."""

    def __init__(
        self, probes: Sequence[collector_pb2.Probe], accounts: Accounts, queue_bytes: int = QUEUE_BYTES
    ) -> None:
        """`probes` in the order of their ids, from 0."""
        self._probes = list(probes)
        self._accounts = accounts
        self._queue_bytes = queue_bytes
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._ended = False
        self.served = 0
        self._lost_by_gone = 0

    def subscribe(
        self, globs: Iterable[str], probes: Sequence[collector_pb2.Probe] | None = None
    ) -> Subscription:
        """From now on; `probes` are the hub's, or the first of them, in their state of this moment.

        Raises NoSuchProbeError.
        """
        patterns = list(globs)
        now = list(probes or ())
        with self._lock:
            # What has been added since they were looked at is as it was then.
            described = now + self._probes[len(now) :]
            subscription = Subscription(patterns, described, self._accounts, self._queue_bytes)
            if patterns and not subscription.described:
                raise NoSuchProbeError(", ".join(patterns))
            self.served += 1
            if self._ended:
                subscription.end()
            self._subscriptions.append(subscription)
        return subscription

    def add(self, probes: Sequence[collector_pb2.Probe]) -> None:
        """More probes, whose ids follow on; to be called before their first events are published."""
        with self._lock:
            self._probes += probes
            for subscription in self._subscriptions:
                subscription.add(probes)

    def leave(self, subscription: Subscription) -> None:
        """Forgets a subscriber that has gone or been served to the end."""
        subscription.close()
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                self._lost_by_gone += subscription.lost

    def publish(self, batch: Batch) -> None:
        """Offers the batch to every subscriber that wants some of it."""
        with self._lock:
            subscriptions = list(self._subscriptions)
        encoded: dict[bytes | None, tuple[bytes, Batch] | None] = {}
        for subscription in subscriptions:
            passes = subscription.filter
            if passes.key not in encoded:
                wanted = passes.wanted
                part = batch if wanted is None else batch.pick(wanted[batch.columns.probe])
                encoded[passes.key] = (encode(part.columns), part) if len(part) else None
            message = encoded[passes.key]
            if message is not None:
                subscription.offer(*message)

    def end(self) -> None:
        """Lets every subscriber have what is queued for it, and no more."""
        with self._lock:
            self._ended = True
            for subscription in self._subscriptions:
                subscription.end()

    def lost(self) -> int:
        """Events that subscribers, those gone included, have lost by being slow."""
        with self._lock:
            return self._lost_by_gone + sum(subscription.lost for subscription in self._subscriptions)

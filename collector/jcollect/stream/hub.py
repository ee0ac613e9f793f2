"""Hands batches to subscribers: encoded once for each distinct filter, never waiting for anybody.

A subscriber that does not keep up loses events, not the reader: its queue is bounded in bytes, and what
finds no room is counted by probe and told to it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

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


class Subscription:
    """One subscriber's queue. `messages` is for one thread; `close` may be called by any."""

    def __init__(
        self, probes: Sequence[collector_pb2.Probe], wanted: Flags | None, accounts: Accounts, limit: int
    ) -> None:
        self.wanted = wanted
        self._accounts = accounts
        self._probes = probes
        self._limit = limit
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._condition = threading.Condition()
        self._ended = False
        self._closed = False
        self._lost: U64 | None = None
        self._ring_before = accounts.lost_in_ring()
        self._collector_before = accounts.lost_in_collector()
        self._told: dict[collector_pb2.LossStage, tuple[int, float]] = {}

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
                self._queue.append(message)
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
        """Encoded SubscribeResponses: the schema, then batches and loss notices, until `end` or `close`."""
        schema = collector_pb2.Schema(probes=self._probes)
        yield collector_pb2.SubscribeResponse(schema=schema).SerializeToString()
        while True:
            with self._condition:
                if not self._queue and not self._ended and not self._closed:
                    self._condition.wait(_LOSS_SECONDS)
                if self._closed:
                    return
                message = self._queue.popleft() if self._queue else None
                if message is not None:
                    self._queued_bytes -= len(message)
                elif self._ended:
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
        return counts if self.wanted is None else counts * self.wanted


class Hub:
    """The subscribers of one collector."""

    def __init__(
        self, probes: Sequence[collector_pb2.Probe], accounts: Accounts, queue_bytes: int = QUEUE_BYTES
    ) -> None:
        """`probes` in the order of their ids, from 0."""
        self._probes = probes
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
        """From now on; `probes` are the same probes in their state of this moment.

        Raises NoSuchProbeError.
        """
        patterns = list(globs)
        described = self._probes if probes is None else probes
        wanted: Flags | None = None
        if patterns:
            is_meant = matcher(patterns)
            wanted = np.array([is_meant(probe) for probe in described], np.bool_)
            if not wanted.any():
                raise NoSuchProbeError(", ".join(patterns))
            described = [probe for probe, is_wanted in zip(described, wanted, strict=True) if is_wanted]
            if wanted.all():
                wanted = None
        subscription = Subscription(described, wanted, self._accounts, self._queue_bytes)
        with self._lock:
            self.served += 1
            if self._ended:
                subscription.end()
            self._subscriptions.append(subscription)
        return subscription

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
            wanted = subscription.wanted
            key = None if wanted is None else wanted.tobytes()
            if key not in encoded:
                part = batch if wanted is None else batch.pick(wanted[batch.columns.probe])
                encoded[key] = (encode(part.columns), part) if len(part) else None
            message = encoded[key]
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

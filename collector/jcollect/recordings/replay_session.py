"""Replays a recording behind a hub: to clients, it is a collector with the events and hit counts of then."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from jcollect.hub.accounts import Accounts, Totals
from jcollect.hub.hub import Hub, NoSuchProbeError, check_pids, few_of, matching
from jcollect.hub.items import Loss, Schema, Stacks, Throttling
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import Subscription
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import TIMED_KINDS
from jcollect.recordings.counters import RecordedCounters
from jcollect.recordings.overview import description_of, meaning, overview_of
from jcollect.recordings.pace import paced
from jcollect.recordings.reader import RecordedItem, Recording
from jcollect.recordings.recorded_status import (
    linked_probes,
    most_hits,
    pids_of,
    probe_statuses,
    status_of,
)
from jcollect.recordings.replay_counts import ReplayAggregation, ReplayCounts
from jcollect.session.commander import Commander
from jcollect.session.status import ProbeStatus, Status
from jcollect.sources.columns import Batch
from jcollect.workers import Failures, Worker

# A replay waits for its subscribers, unlike a collector: as long as one has this much to read, and reads it.
_MOST_QUEUED_BYTES = 16 << 20
_MOST_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.005
_TICK_SECONDS = 0.1


class ReplaySession:
    """A recording that is served. It is played once, from the first client that reads its events on.

    All methods but `start` and `stop` are for any thread.
    """

    def __init__(self, paths: Sequence[str], speed: float | None, failures: Failures) -> None:
        """`speed` is a factor, or None for as fast as possible. Raises JcollectError."""
        self.failures = failures
        # There is no process to command: every command is refused.
        self.commander = Commander(lambda: ())
        self._speed = speed
        self._overview = overview_of(paths)
        self._recording = Recording(paths)
        self._probes = dict(self._overview.probes)
        capacity = max(self._probes, default=0) + 1
        self._counters = RecordedCounters(capacity)
        self.accounts = Accounts(capacity, [self._counters])
        self._counts = ReplayCounts(capacity)
        for probe in self._probes.values():
            self._counts.describe(probe.id, probe.kind in TIMED_KINDS)
        self.hub = Hub(list(self._probes.values()), self.accounts)
        # Number of events that the subscribers with much to read had read when they were not waited for.
        self._given_up_at = -1
        self._may_begin = threading.Event()
        self._stopped = threading.Event()
        self._is_over = threading.Event()
        self._worker = Worker("replay the recording", self._run, failures, self._over)

    @property
    def probe_count(self) -> int:
        return len(self._probes)

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences about what could not be read."""
        return self._recording.warnings

    @property
    def events(self) -> int:
        """Number of events that were replayed."""
        return int(self.accounts.totals().delivered)

    @property
    def is_over(self) -> bool:
        """True once everything has been replayed."""
        return self._is_over.is_set()

    def start(self) -> None:
        """Raises JcollectError if no thread can be started."""
        self._worker.start()

    def stop(self) -> None:
        """Ends the replay early."""
        self._stopped.set()
        self._may_begin.set()
        self._worker.join(1.0)

    def _over(self) -> None:
        self._is_over.set()
        self.hub.end()

    def _run(self) -> None:
        self._may_begin.wait()
        for item in paced(self._recording.items(), self._speed, self._stopped.wait):
            if self._stopped.is_set():
                return
            self._play(item)

    def _play(self, item: RecordedItem) -> None:
        if isinstance(item, Batch):
            self._wait_for_subscribers()
            self._counters.deliver(item.columns.probe)
            self.accounts.deliver(item.columns.probe)
            self._counts.add(item.columns)
            self.hub.publish(item)
        elif isinstance(item, Schema):
            self._describe(item)
        elif isinstance(item, Stacks):
            self.hub.stacks.add(item.stacks)
        elif isinstance(item, Loss):
            self._counters.lose(item)
        elif isinstance(item, Throttling):
            known = self._probes.keys()
            self.hub.throttle(
                [each for each in item.began if each in known], [each for each in item.ended if each in known]
            )

    def _describe(self, schema: Schema) -> None:
        """Passes on the descriptions of IDs that are reassigned. All others are known from the start."""
        for probe in map(description_of, schema.probes):
            known = self._probes[probe.id]
            if meaning(known) != meaning(probe):
                self.hub.remove([probe.id])
                self._counts.describe(probe.id, probe.kind in TIMED_KINDS)
                self._probes[probe.id] = probe
                self.hub.add([probe])

    def _wait_for_subscribers(self) -> None:
        """Waits while a subscriber has much to read, and reads: a recording can wait. One that has read
        nothing for long is waited for again when it reads."""
        progressed, delivered = time.monotonic(), -1
        while not self._stopped.is_set():
            full = [each for each in self.hub.subscribers() if each.queued_bytes >= _MOST_QUEUED_BYTES]
            now, before = time.monotonic(), delivered
            delivered = sum(each.delivered for each in full)
            if not full or delivered == self._given_up_at:
                return
            if delivered != before:
                progressed = now
            elif now - progressed > _MOST_WAIT_SECONDS:
                self._given_up_at = delivered
                return
            time.sleep(_POLL_SECONDS)

    def describe(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), after: int = -1
    ) -> Iterator[ProbeDescription]:
        """Yields the matching probes that have IDs above `after`, in the order of the IDs."""
        matches = matching(globs, pids)
        for number, probe in sorted(self._probes.items()):
            if number > after and (matches is None or matches(probe)):
                yield probe

    def subscribe(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        peer: str = "",
        options: StreamOptions | None = None,
    ) -> Subscription:
        """Subscribes, and lets the replay begin. Raises NoSuchProbeError, ConditionError, CursorError."""
        check_pids(pids, pids_of(self._probes.values()))
        subscription = self.hub.subscribe(globs, (), pids, peer, options)
        self._may_begin.set()
        return subscription

    def aggregate(self, globs: Sequence[str] = (), pids: Collection[int] = ()) -> ReplayAggregation:
        """Counts calls, and lets the replay begin. Raises NoSuchProbeError."""
        check_pids(pids, pids_of(self._probes.values()))

        def timed() -> list[ProbeDescription]:
            return [probe for probe in self.describe(globs, pids) if probe.kind in TIMED_KINDS]

        if not timed():
            raise NoSuchProbeError(f"{few_of(globs) or 'the request'}, of those whose calls can be counted")
        return ReplayAggregation(self._counts, timed, self._is_over, self._may_begin.set)

    def status(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        summary_only: bool = False,
        after: int = -1,
        most_probes: int | None = None,
        top: int = 0,
    ) -> Status:
        """Returns the hit counts of the recording; if it has none, those of what was replayed."""
        matches = matching(globs, pids)
        found = [
            each
            for each in probe_statuses(self._overview, self._replayed)
            if each.description.id > after and (matches is None or matches(each.description))
        ]
        shown: list[ProbeStatus] = most_hits(found, top) if top else found[:most_probes]
        status = status_of(
            self._overview,
            self.accounts.totals(),
            [] if summary_only else shown,
            self.hub.subscribers(),
            self.hub.lost_by_disconnected,
        )
        if not top:
            return status
        return replace(status, linked=linked_probes(found), matching=len(found))

    def _replayed(self, ids: list[int]) -> list[Totals]:
        return self.accounts.hit_counts().each(ids)

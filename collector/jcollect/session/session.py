"""One collector: sources, hub and hit accounting, and the processes that it traces."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import TypeVar

import jcollect
from jcollect.errors import JcollectError
from jcollect.hub.accounts import Accounts, Totals
from jcollect.hub.clock import utc_offset_ns
from jcollect.hub.hub import (
    ALL_QUEUES_BYTES,
    HISTORY_BYTES,
    QUEUE_BYTES,
    Hub,
    NoEventsError,
    check_pids,
    matching,
)
from jcollect.hub.ids import ProbeIds
from jcollect.hub.pauses import PauseStage
from jcollect.hub.reader import FINISH_SECONDS, Reader
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.hub.stage import Explainer, Stage
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import Subscription
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import Probe, Wanted, by_binary
from jcollect.probes.scan import Scan
from jcollect.session.aggregation import Aggregation
from jcollect.session.aggregations import Aggregations
from jcollect.session.commander import Commander
from jcollect.session.open_sources import OpenSource, lanes, open_explainer
from jcollect.session.options import DIRECT, SessionSettings
from jcollect.session.probe_group import ProbeGroup
from jcollect.session.probe_summary import ProbeSummary, summarize
from jcollect.session.process_status import Libraries, not_detached, process_status
from jcollect.session.refresher import Refresher
from jcollect.session.stack_reading import StackReading
from jcollect.session.status import HISTOGRAMS, ProbeStatus, Status
from jcollect.session.tracee import Tracee
from jcollect.sources.base import Source
from jcollect.sources.explanation import ExplanationCounts
from jcollect.sources.recorder import Recorder, RecorderStatus
from jcollect.worker_pool import Task, WorkerPool
from jcollect.workers import Failures

_Result = TypeVar("_Result")

# Minimum number of probe IDs. The number is fixed when the sources are opened.
MIN_CAPACITY = 16384
# Number of probe IDs with --name or --all: 2 MiB of counters on two CPUs.
OPEN_CAPACITY = 65_536
# Maximum number of processes that are detached from at the same time.
_MAX_DETACHING = 8
# Maximum time for the kernel to disarm the probes of a process, in addition to twice the expected time. On a
# busy machine 130,000 probes take seconds; a process that serves its own page faults can delay it for ever.
_DISARM_SECONDS = 30.0
# Maximum time for a process to report its suppressed calls after its probes were disarmed.
_LAST_REPORT_SECONDS = 2.0
# Smaller changes of the wall clock's offset from the monotonic clock are measuring noise.
_CLOCK_NOISE_NS = 1_000_000


class Session:
    """Traces processes with one set of sources and one hub.

    The order of calls is: construct, `start`, `join` processes, `attach` and `follow` those, `leave` them
    when they have exited, `detach`; `close` in any case.

    Subscribers may connect as soon as the session is constructed, and `detach` serves them to the end.
    Several threads may join, follow and leave processes, but each process is for one thread at a time.
    `describe`, `subscribe` and `status` are for any thread, and everything else is for a single one.

    Locks are taken in this order: a tracee's, the session's, the hub's. No thread reads the memory of a
    process, or arms a probe, while it holds one of the last two.
    """

    def __init__(
        self,
        settings: SessionSettings | None = None,
        on_end: Callable[[], None] = lambda: None,
        failures: Failures | None = None,
        open_sources: Sequence[OpenSource] | None = None,
    ) -> None:
        """Opens the sources. Raises JcollectError.

        Calls `on_end` once the maximum number of events is reached. `failures` gets the errors of threads;
        without it, `on_end` is called for them. `open_sources` are by default those of the lane in
        `settings`.
        """
        settings = settings or SessionSettings()
        capacity = settings.capacity or MIN_CAPACITY
        self._explainer: Explainer | None = None
        self._pauses: PauseStage | None = None
        self._started = time.time_ns()
        self._lock = threading.RLock()
        self._tracees: list[Tracee] = []
        self._refresher = Refresher(lambda: self._tracees)
        self.commander = Commander(lambda: self._tracees)
        self.only_counts = settings.only_counts
        self.capacity = capacity
        self.max_overhead = settings.max_overhead
        self._lane = settings.lane
        self._recorder = settings.recorder
        self._cost_of_left = 0
        self._utc_offset = utc_offset_ns()
        self._aggregations = Aggregations(lambda: self._tracees, self._utc_offset)
        self._sources: list[Source] = []
        try:
            for open_source in open_sources or lanes(settings):
                self._sources.append(open_source(capacity, self._utc_offset))
            if settings.explain - {"pauses"}:
                self._explainer = open_explainer(settings, capacity, self._utc_offset)
        except BaseException:
            self._close_sources()
            raise
        if "pauses" in settings.explain:
            self._pauses = PauseStage(capacity, self._utc_offset, self._lost)
        self.accounts = Accounts(capacity, self._sources)
        self._stacks = StackReading()
        history = HISTORY_BYTES if settings.history_bytes is None else settings.history_bytes
        self.hub = Hub(
            [],
            self.accounts,
            settings.queue_bytes or QUEUE_BYTES,
            ALL_QUEUES_BYTES,
            history,
            self._stages(settings.redaction),
            self._stacks.table,
        )
        self._ids: ProbeIds[ProbeGroup] = ProbeIds(self.accounts, self._forget)
        self.failures = failures or Failures(on_end)
        self._reader = Reader(
            self._sources, self.hub, self.accounts, settings.max_events, on_end, self.failures
        )
        self._reader_runs = False

    def start(self) -> None:
        """Starts to read the sources: events may arrive as soon as a probe is armed. Raises JcollectError."""
        if self._explainer is not None:
            self._explainer.start(self.failures)
        self._reader.start()
        self._reader_runs = True

    def join(
        self,
        scan: Scan,
        wanted: Wanted,
        name: str = "",
        others: Sequence[Probe] = (),
        source: Source | None = None,
    ) -> Tracee:
        """Adds a process, and assigns IDs to its wanted probes. `name` is its main class or command; `others`
        are probes that are in no stub library. `source`, one of the session's, arms the probes; without it,
        the first one does, except for those that another one is better for."""
        arming, preferred = source or self._sources[0], () if source else self._sources[1:]
        tracee = Tracee(
            scan,
            wanted,
            name,
            self,
            arming,
            self.accounts,
            self.max_overhead,
            others,
            self.only_counts,
            preferred,
            self._lane != DIRECT,
        )
        try:
            if self._explainer is not None:
                # Before its first call that can be explained.
                self._explainer.watch(tracee.pid)
            tracee.register()
        except BaseException:
            tracee.leave()
            raise
        with self._lock:
            self._tracees = [*self._tracees, tracee]
        return tracee

    def leave(self, tracee: Tracee) -> None:
        """Detaches from a process that has exited, or that is not wanted any more."""
        tracee.leave()
        if self._explainer is not None:
            self._explainer.unwatch(tracee.pid)
        if self._pauses is not None:
            self._pauses.left(tracee.pid)
        self.commander.forget(tracee.process)
        with self._lock:
            self._cost_of_left += tracee.cost.total_ns
            self._tracees = [each for each in self._tracees if each is not tracee]
        self._refresher.forget(tracee)
        self._aggregations.forget(tracee)

    @property
    def has_direct_hits(self) -> bool:
        """True if any hit has taken the direct lane."""
        return any(source.has_sinks and bool(source.hits().any()) for source in self._sources)

    @property
    def recorder(self) -> tuple[Recorder, RecorderStatus] | None:
        """The settings of a flight recorder, and what it has done; None if this is none."""
        found = (source.status().recorder for source in self._sources)
        done = next((each for each in found if each is not None), None)
        return None if self._recorder is None or done is None else (self._recorder, done)

    @property
    def detach_seconds(self) -> float:
        """About how long `detach` will take."""
        return sum(each.closing_seconds for tracee in self._tracees for each in tracee.groups)

    def detach(self) -> Totals:
        """Disarms all probes, drains the sources, and lets the subscribers finish. Returns the final hit
        counts.

        If a process does not answer, they omit the calls that it has suppressed last.
        """
        if any(tracee.is_counting for tracee in self._tracees):
            # The agent gives the histograms back once no collector counts any more.
            self._for_each_process(Tracee.count, _LAST_REPORT_SECONDS)
        seconds = _DISARM_SECONDS + 2 * self.detach_seconds
        armed = self._for_each_process(Tracee.disarm, seconds)
        for tracee in self._tracees:
            if tracee not in armed:
                self.failures.add(not_detached(tracee, seconds), "detach")
        self._for_each_process(
            lambda tracee: tracee.count_suppressed(armed.get(tracee, ())), _LAST_REPORT_SECONDS
        )
        # Not before all are disarmed: an event that fires later would be missing in the counts.
        return self.settle()

    def _for_each_process(self, act: Callable[[Tracee], _Result], seconds: float) -> dict[Tracee, _Result]:
        """Acts on all processes at once: one that does not answer delays no other one. Returns the results
        that there are within `seconds`."""
        pool = WorkerPool("detach from processes", _MAX_DETACHING)
        deadline = time.monotonic() + seconds
        tasks: dict[Tracee, Task] = {}
        results: dict[Tracee, _Result] = {}
        for tracee in self._tracees:
            try:
                tasks[tracee] = pool.submit(functools.partial(act, tracee), tracee.owner)
            except JcollectError:
                results[tracee] = act(tracee)  # No thread can be started.
        for tracee, task in tasks.items():
            if task.wait(deadline - time.monotonic()):
                if task.error is None:
                    results[tracee] = task.result
                else:
                    self.failures.add(task.error, f"detach from PID {tracee.pid}")
        return results

    def settle(self, seconds: float = FINISH_SECONDS) -> Totals:
        """Does what `detach` does after disarming, within `seconds`."""
        if self._reader_runs and self._reader.finish(seconds):
            self._reader_runs = False
        totals = self.accounts.totals()
        self.hub.end()
        self._aggregations.end()
        return totals

    @property
    def cost_ns(self) -> int | None:
        """CPU time that the probes have cost all processes since they joined, in ns; None if no agent has
        reported any."""
        known = [tracee.cost.total_ns for tracee in self._tracees if tracee.cost.is_known]
        return self._cost_of_left + sum(known) if known or self._cost_of_left else None

    def close(self) -> None:
        """Closes the sources. No subscriber may be left."""
        self.commander.close()
        if self._reader_runs:
            # It still reads their memory, which the end of this process will free.
            return
        for tracee in self._tracees:
            tracee.disarm()
        self._refresher.close()
        self._aggregations.close()
        self._close_sources()
        self._stacks.close()

    def _stages(self, rules: RedactionRules) -> list[Stage]:
        """Returns the stages of the hub. Raises InvalidCommandError if a pattern is malformed."""
        found = (self._stacks, self._explainer, self._pauses)
        stages: list[Stage] = [each for each in found if each is not None]
        if rules:
            # Imports RE2.
            from jcollect.hub.redaction import Redaction

            stages.append(Redaction(rules))
        return stages

    @property
    def explanations(self) -> ExplanationCounts | None:
        """Counts of explained calls; None if the session does not explain."""
        return None if self._explainer is None else self._explainer.counts()

    def _close_sources(self) -> None:
        if self._explainer is not None:
            self._explainer.close()
        for source in self._sources:
            source.close()

    # Requests of tracees: see tracee.Registry.

    def register(self, probes: Sequence[Probe], tracee: Tracee) -> list[ProbeGroup]:
        with self._lock:
            ids = self._ids.assign(len(probes))
        try:
            number = {id(probe): assigned for probe, assigned in zip(probes, ids, strict=False)}
            new = [
                ProbeGroup(
                    [number[id(probe)] for probe in group],
                    group,
                    tracee.source_of(group),
                    tracee.credibility,
                    tracee.only_counts,
                    tracee.source,
                )
                for group in by_binary(probes[: len(ids)])
            ]
            for each in new:
                each.refresh()
            descriptions = [live.describe() for each in new for live in each.known]
        except BaseException:
            with self._lock:
                self._ids.give_back(ids)
            raise
        with self._lock:
            for each in new:
                tracee.share.add(each.ids)
                for source in self._sources:
                    source.describe(each.ids.tolist(), each.probes)
            self._stacks.follow(tracee, descriptions)
            if new:
                self.hub.add(descriptions)
        return new

    def scanned(self, tracee: Tracee) -> None:
        if self._explainer is not None:
            self._explainer.follow(tracee.pid, tracee.scan.libraries)

    def _forget(self, ids: Sequence[int]) -> None:
        """Removes probes that are permanently retired and have no event in flight."""
        self.hub.remove(ids)
        self._stacks.forget(ids)

    def armed(self, tracee: Tracee) -> None:
        if self._pauses is not None and tracee.has_pauses:
            self._pauses.armed(tracee.pid)

    def _lost(self) -> int:
        """Returns the events that were lost in the kernel's ring so far."""
        first = self._sources[0]
        return sum(int(first.lost(stage).sum()) for stage in first.stages)

    def retire(self, group: ProbeGroup, tracee: Tracee) -> None:
        group.forget()
        with self._lock:
            self._ids.retire(group, tracee.share)

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        self.hub.throttle(began, ended)

    # The methods below are for any thread.

    def describe(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), after: int = -1
    ) -> Iterator[ProbeDescription]:
        """Yields the matching probes that have IDs above `after`, in the order of the IDs.

        Reads their current state, unless `after` is given: then the state that was read last.
        """
        live = self._live(after)
        return (description for _, description in self._described(live, matching(globs, pids), after))

    def subscribe(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        peer: str = "",
        options: StreamOptions | None = None,
    ) -> Subscription:
        """Raises NoSuchProbeError, NoEventsError, ConditionError, CursorError."""
        if self.only_counts:
            raise NoEventsError("the collector only counts calls, and has no events")
        check_pids(pids, (tracee.pid for tracee in self._tracees))
        return self.hub.subscribe(globs, list(self.describe()), pids, peer, options)

    def aggregate(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), may_match_later: bool = False
    ) -> Aggregation:
        """Has the calls of the matching probes counted, until the aggregation is closed. Raises
        NoSuchProbeError if none can be counted, unless it `may_match_later`."""
        return self._aggregations.begin(globs, pids, may_match_later)

    def name_of(self, pid: int) -> str:
        """Returns the main class or the command of a process; empty if it has left."""
        return next((each.name for each in self._tracees if each.pid == pid), "")

    def status(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        summary_only: bool = False,
        after: int = -1,
        most_probes: int | None = None,
        top: int = 0,
    ) -> Status:
        """Returns the links and all hit counts. Unless `summary_only`, includes the probes
        that `describe` yields, at most `most_probes`; or the `top` of them with the most hits."""
        # Processes and probes are described by the same reading, so that they agree.
        live = self._live(after)
        described = iter(()) if summary_only or top else self._described(live, matching(globs, pids), after)
        found = list(islice(described, most_probes))
        with self._lock:
            counts = self.accounts.hit_counts()
            shares = [tracee.share.totals(counts) for tracee, _ in live]
        summary = ProbeSummary([], [], 0)
        if top:
            summary = summarize(self._all_libraries(live), pids, matching(globs, ()), counts.hits, top)
            found = [(group, one.describe()) for group, one in summary.top]
        of_probes = counts.each([description.id for _, description in found])
        set_by = utc_offset_ns() - self._utc_offset
        source = self._sources[0].status()
        return Status(
            version=jcollect.__version__,
            pid=os.getpid(),
            started_unix_nanos=self._started,
            cpu_nanos=time.process_time_ns(),
            link=HISTOGRAMS if self.only_counts else source.link_type,
            ring_bytes=source.buffer_bytes,
            ring_used_bytes=source.buffer_used_bytes,
            out_of_order=self._reader.out_of_order,
            recorder=self.recorder,
            explanations=self.explanations,
            clock_set_nanos=set_by if abs(set_by) > _CLOCK_NOISE_NS else 0,
            counts=self.accounts.totals(),
            processes=[
                process_status(tracee, libraries, share, self._stacks.counts(tracee.pid))
                for (tracee, libraries), share in zip(live, shares, strict=True)
            ],
            probes=[
                ProbeStatus(
                    description, totals, group.is_armed, group.attach_point, group.calls_of(description.id)
                )
                for (group, description), totals in zip(found, of_probes, strict=True)
            ],
            subscribers=self.hub.subscribers(),
            lost_by_gone_subscribers=self.hub.lost_by_disconnected,
            linked=summary.linked,
            matching=summary.matching,
        )

    def _live(self, after: int) -> list[tuple[Tracee, Libraries]]:
        """Returns each process with its libraries and their probes. Reads their current state, as far as the
        processes answer, unless the caller goes on `after` an ID."""
        tracees = self._refresher.refresh() if after < 0 else self._tracees
        return [(tracee, tracee.live()) for tracee in tracees]

    def _all_libraries(self, live: Sequence[tuple[Tracee, Libraries]]) -> Libraries:
        with self._lock:
            retired = [(each, each.known) for each in self._ids.retired]
        return [*chain(*(libraries for _, libraries in live)), *retired]

    def _described(
        self,
        live: Sequence[tuple[Tracee, Libraries]],
        matches: Callable[[ProbeDescription], bool] | None,
        after: int,
    ) -> Iterator[tuple[ProbeGroup, ProbeDescription]]:
        found = [
            (one.id, each, one)
            for each, probes in self._all_libraries(live)
            for one in probes
            if one.id > after
        ]
        found.sort(key=itemgetter(0))
        for _, each, one in found:
            description = one.describe()
            if matches is None or matches(description):
                yield each, description


def ids_for(scans: Iterable[Scan], wanted: Wanted) -> int:
    """Returns a capacity with twice as many IDs as there are probes, for those of classes that are loaded
    later."""
    found = sum(wanted(probe) for each in scans for probe in each.every)
    return max(MIN_CAPACITY, 2 * found)

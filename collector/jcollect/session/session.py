"""One collector: handlers, ring, hub and books, and the processes that they serve."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter

import jcollect
from jcollect.errors import JcollectError
from jcollect.hub.accounts import Accounts, Totals
from jcollect.hub.clock import utc_offset_ns
from jcollect.hub.hub import QUEUE_BYTES, Hub, NoSuchProbeError, matching
from jcollect.hub.reader import FINISH_SECONDS, Reader
from jcollect.hub.subscription import Subscription
from jcollect.probes.description import ProbeDescription
from jcollect.probes.live import LiveProbe
from jcollect.probes.probe import Probe, Wanted, by_library, probes_of, with_ids
from jcollect.probes.scan import Scan
from jcollect.session.cost import Cost
from jcollect.session.options import SessionSettings
from jcollect.session.status import Overhead, ProbeStatus, ProcessStatus, Status
from jcollect.session.tracee import Tracee
from jcollect.sources.bpf.attached import Attached
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.links import AUTO, Linker
from jcollect.sources.bpf.record import RecordDecoder
from jcollect.sources.bpf.ring import Ring
from jcollect.worker_pool import Task, WorkerPool
from jcollect.workers import Failures
from jprobe.v1 import probe_pb2

Libraries = list[tuple[Attached, list[LiveProbe]]]

# 16 MiB: 262,144 numeric events, about 0.18 s of a thread that does nothing but fire.
RING_PAGES = 4096
# Probe ids that there can be at least. How many there can be is fixed when the maps are made.
LEAST_CAPACITY = 16384
# So many probes that are gone for good are still told of, in status and to new subscribers.
_MOST_GONE = 16384
# With --name or --all: 2 MiB of counters on two CPUs.
OPEN_CAPACITY = 65_536
# Maximum time that an answer waits for a process to report its probes, and for a process that was slow
# before. Afterwards it reports what is known.
_ASK_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.2
_ASKING = 8
# Maximum time after its links are destroyed for a process to report what it has held back.
_LAST_WORD_SECONDS = 2.0
# Smaller changes of the wall clock's offset from the monotonic clock are measuring noise.
_CLOCK_NOISE_NS = 1_000_000


class Session:
    """The order is: construct, `start`, `join` processes, `attach` and `follow` those, `leave` them when they
    have exited, `detach`; `close` in any case.

    Subscribers may come as soon as there is a session, and `detach` serves them to the end. Several threads
    may join, follow and leave processes, but each process is for one thread at a time. `describe`,
    `subscribe` and `status` are for any thread, and everything else is for a single one.

    The order of locks is: a tracee's, the session's, the hub's. No thread reads the memory of a process, or
    links, while it holds one of the latter two.
    """

    def __init__(
        self,
        settings: SessionSettings | None = None,
        on_end: Callable[[], None] = lambda: None,
        compilation: Compilation | None = None,
        failures: Failures | None = None,
    ) -> None:
        """Loads the BPF programs. Calls `on_end` once the maximum number of events is reached. `failures`
        gets the errors of threads; without it, `on_end` is called for them. Raises JcollectError.
        """
        settings = settings or SessionSettings()
        capacity = settings.capacity or LEAST_CAPACITY
        ring_pages = settings.ring_pages or RING_PAGES
        self._started = time.time_ns()
        self._lock = threading.RLock()
        self._tracees: list[Tracee] = []
        self._asking = WorkerPool("ask processes for the state of their probes", _ASKING)
        self._asked: dict[Tracee, Task] = {}
        self._slow: set[Tracee] = set()
        self._fresh_id = 0
        self._free_ids: deque[int] = deque()
        # Of libraries that are unmapped for good, in the order in which they went.
        self._gone: deque[tuple[Attached, Tracee]] = deque()
        self.capacity = capacity
        self.max_overhead = settings.max_overhead
        self._cost_of_gone = 0
        self._programs = BpfPrograms(capacity, ring_pages, compilation, settings.without)
        self._linker = Linker(self._programs, settings.link_type or AUTO)
        self._ring = Ring(self._programs.ring_fd, self._programs.ring_bytes)
        self.accounts = Accounts(capacity, self._programs.hits, self._programs.lost)
        self.hub = Hub([], self.accounts, settings.queue_bytes or QUEUE_BYTES)
        self._utc_offset = utc_offset_ns()
        self._decoder = RecordDecoder(capacity, self._utc_offset)
        self.failures = failures or Failures(on_end)
        self._reader = Reader(
            self._ring, self._decoder, self.hub, self.accounts, settings.max_events, on_end, self.failures
        )
        self._reader_runs = False

    def start(self) -> None:
        """Begins to read the ring: events may come from the first link on. Raises JcollectError."""
        self._reader.start()
        self._reader_runs = True

    def join(self, scan: Scan, wanted: Wanted, name: str = "") -> Tracee:
        """One more process: its probes have ids and are described. `name`: its main class or command."""
        tracee = Tracee(scan, wanted, name, self, self._linker, self.accounts, self.max_overhead)
        try:
            tracee.meet()
        except BaseException:
            tracee.leave()
            raise
        with self._lock:
            self._tracees = [*self._tracees, tracee]
        return tracee

    def leave(self, tracee: Tracee) -> None:
        """A process that has exited, or is wanted no longer."""
        tracee.leave()
        with self._lock:
            self._cost_of_gone += tracee.cost.total_ns
            self._tracees = [each for each in self._tracees if each is not tracee]
            self._asked.pop(tracee, None)
            self._slow.discard(tracee)

    @property
    def detach_seconds(self) -> float:
        """About how long `detach` will take."""
        return sum(each.closing_seconds for tracee in self._tracees for each in tracee.attached)

    def detach(self) -> Totals:
        """Destroys the links, drains the ring buffer, lets the subscribers finish. The books are final then.

        They lack what a process that does not answer has held back last.
        """
        self._end_links(self.detach_seconds + _LAST_WORD_SECONDS)
        return self.settle()

    def _end_links(self, seconds: float) -> None:
        """Ends the links of all processes at once: one that does not answer delays no other one."""
        pool = WorkerPool("detach from processes", _ASKING)
        deadline = time.monotonic() + seconds
        tasks = []
        for tracee in self._tracees:
            try:
                tasks.append(pool.submit(tracee.end, tracee.owner))
            except JcollectError:
                tracee.end()  # No thread can be started.
        for task in tasks:
            task.wait(deadline - time.monotonic())

    def settle(self, seconds: float = FINISH_SECONDS) -> Totals:
        """As `detach`, of what is detached by now, within so many seconds."""
        if self._reader_runs and self._reader.finish(seconds):
            self._reader_runs = False
        totals = self.accounts.totals()
        self.hub.end()
        return totals

    @property
    def cost_ns(self) -> int | None:
        """What the probes have cost all processes since they joined, in ns of CPU; None where no agent has
        told."""
        known = [tracee.cost.total_ns for tracee in self._tracees if tracee.cost.is_known]
        return self._cost_of_gone + sum(known) if known or self._cost_of_gone else None

    def close(self) -> None:
        """Frees what the kernel holds for us. No subscriber may be left."""
        if self._reader_runs:
            # It reads that memory yet, and the end of the process will free it.
            return
        for tracee in self._tracees:
            tracee.end_links()
        self._asking.close()
        self._ring.close()
        self._programs.close()

    # What a tracee asks for: see tracee.Registry.

    def register(self, probes: Sequence[Probe], tracee: Tracee) -> list[Attached]:
        with self._lock:
            ids = self._take_ids(len(probes))
        try:
            new = [Attached(group, tracee.claimant) for group in by_library(with_ids(probes, ids))]
            for each in new:
                each.refresh()
            descriptions = [live.describe() for each in new for live in each.known]
        except BaseException:
            with self._lock:
                self._free_ids.extend(ids)
            raise
        with self._lock:
            for each in new:
                tracee.share.add(each.ids)
            self._decoder.add(probe for each in new for probe in each.probes)
            self._programs.used = self._fresh_id
            if new:
                self.hub.add(descriptions)
        return new

    def _take_ids(self, wanted: int) -> list[int]:
        """Takes that many ids, or as many as there are."""
        missing = wanted - (self.capacity - self._fresh_id) - len(self._free_ids)
        if missing > 0:
            self._forget_gone(missing)
        # Fresh ids first: the longer until an id stands for another probe, the better.
        fresh = min(wanted, self.capacity - self._fresh_id)
        ids = list(range(self._fresh_id, self._fresh_id + fresh))
        while len(ids) < wanted and self._free_ids:
            ids.append(self._free_ids.popleft())
        self._fresh_id += fresh
        return ids

    def retire(self, attached: Attached, tracee: Tracee) -> None:
        attached.forget()
        with self._lock:
            self._gone.append((attached, tracee))
            kept = sum(len(each.probes) for each, _ in self._gone)
            if kept > _MOST_GONE:
                self._forget_gone(kept - _MOST_GONE)

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        self.hub.throttle(began, ended)

    def _forget_gone(self, probes: int) -> None:
        """Frees so many ids, if so many probes are gone and the books of these are closed."""
        counts = self.accounts.hit_counts()
        while probes > 0 and self._gone and not counts.totals(self._gone[0][0].ids).missing:
            forgotten, tracee = self._gone.popleft()
            ids = forgotten.ids.tolist()
            self.hub.remove(ids)
            tracee.share.close(forgotten.ids, counts.totals(forgotten.ids))
            self.accounts.release(forgotten.ids)
            self._free_ids.extend(ids)
            probes -= len(ids)

    # For any thread.

    def describe(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), after: int = -1
    ) -> Iterator[ProbeDescription]:
        """Yields the matching probes that have IDs above `after`, in the order of these.

        Reads their current state, unless it goes on `after` an ID: then the state that was read last.
        """
        live = self._live() if after < 0 else self._last_known()
        return (description for _, description in self._described(live, matching(globs, pids), after))

    def subscribe(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), peer: str = ""
    ) -> Subscription:
        """Raises NoSuchProbeError."""
        unknown = set(pids) - {tracee.pid for tracee in self._tracees}
        if unknown:
            raise NoSuchProbeError(f"PID {min(unknown)}")
        return self.hub.subscribe(globs, list(self.describe()), pids, peer)

    def status(
        self,
        globs: Sequence[str] = (),
        pids: Collection[int] = (),
        summary_only: bool = False,
        after: int = -1,
        most_probes: int | None = None,
    ) -> Status:
        """Returns what is attached and how, and all hit counts. Unless `summary_only`, includes the probes
        that `describe` yields, at most `most_probes`."""
        # Processes and probes are described by the same reading, so that they agree.
        live = self._live() if after < 0 else self._last_known()
        described = iter(()) if summary_only else self._described(live, matching(globs, pids), after)
        found = list(islice(described, most_probes))
        with self._lock:
            counts = self.accounts.hit_counts()
            shares = [tracee.share.totals(counts) for tracee, _ in live]
        of_probes = counts.each([description.id for _, description in found])
        set_by = utc_offset_ns() - self._utc_offset
        return Status(
            version=jcollect.__version__,
            pid=os.getpid(),
            started_unix_nanos=self._started,
            cpu_nanos=time.process_time_ns(),
            link=self._linker.way,
            ring_bytes=self._programs.ring_bytes,
            ring_used_bytes=self._ring.used(),
            out_of_order=self._reader.out_of_order,
            clock_set_nanos=set_by if abs(set_by) > _CLOCK_NOISE_NS else 0,
            counts=self.accounts.totals(),
            processes=[
                _process_status(tracee, libraries, share)
                for (tracee, libraries), share in zip(live, shares, strict=True)
            ],
            probes=[
                ProbeStatus(description, totals, attached.is_linked, attached.attach_point)
                for (attached, description), totals in zip(found, of_probes, strict=True)
            ],
            subscribers=self.hub.subscribers(),
            lost_by_gone_subscribers=self.hub.lost_by_disconnected,
        )

    def _live(self) -> list[tuple[Tracee, Libraries]]:
        """Returns each process with its libraries and their probes, in their current state, or the last known
        one if the process does not answer."""
        tracees = self._tracees
        now = time.monotonic()
        asked = [(tracee, self._ask(tracee)) for tracee in tracees]
        for tracee, task in asked:
            patience = _ASK_AGAIN_SECONDS if tracee in self._slow else _ASK_SECONDS
            if task is not None and task.wait(now + patience - time.monotonic()):
                self._slow.discard(tracee)
            else:
                self._slow.add(tracee)
        return [(tracee, tracee.live()) for tracee in tracees]

    def _last_known(self) -> list[tuple[Tracee, Libraries]]:
        """Returns each process with its libraries and their probes, in the state that was read last."""
        return [(tracee, tracee.live()) for tracee in self._tracees]

    def _ask(self, tracee: Tracee) -> Task | None:
        """Gives a process its only task at a time; None if no thread can be started."""
        with self._lock:
            if tracee not in self._tracees:
                return None
            task = self._asked.get(tracee)
            if task is None or task.has_ended:
                try:
                    task = self._asking.submit(tracee.refresh, (tracee.owner, tracee in self._slow))
                except JcollectError:
                    return None
                self._asked[tracee] = task
            return task

    def _described(
        self,
        live: Sequence[tuple[Tracee, Libraries]],
        matches: Callable[[ProbeDescription], bool] | None,
        after: int,
    ) -> Iterator[tuple[Attached, ProbeDescription]]:
        with self._lock:
            gone = [(each, each.known) for each, _ in self._gone]
        found = [
            (one.probe.id, each, one)
            for each, probes in chain(*(libraries for _, libraries in live), gone)
            for one in probes
            if one.probe.id > after
        ]
        found.sort(key=itemgetter(0))
        for _, each, one in found:
            description = one.describe()
            if matches is None or matches(description):
                yield each, description


def _process_status(tracee: Tracee, libraries: Libraries, share: Totals) -> ProcessStatus:
    linked = [one for each, probes in libraries if each.is_linked for one in probes]
    return ProcessStatus(
        pid=tracee.pid,
        name=tracee.name,
        libraries=sum(each.is_linked for each, _ in libraries),
        probes=sum(len(probes) for _, probes in libraries),
        armed=sum(one.state == probe_pb2.PROBE_STATE_ARMED for one in linked),
        throttled=sum(one.state == probe_pb2.PROBE_STATE_THROTTLED for one in linked),
        overhead=_overhead(tracee.cost),
        counts=share,
    )


def _overhead(cost: Cost) -> Overhead | None:
    now = cost.last
    if now is None:
        return None
    return Overhead(
        hit_nanos=now.hit_ns,
        recent_nanos=now.recent_ns,
        cost_nanos=cost.total_ns,
        elapsed_nanos=cost.elapsed_ns,
        max_percent=now.max_percent,
        asked_percent=now.asked_percent,
        available_nanos=now.available_ns,
        max_percent_now=now.max_percent_now,
    )


def ids_for(scans: Iterable[Scan], wanted: Wanted) -> int:
    """A capacity that leaves room for as many probes again, as classes are loaded."""
    found = sum(wanted(probe) for each in scans for probe in probes_of(each.libraries))
    return max(LEAST_CAPACITY, 2 * found)

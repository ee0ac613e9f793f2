"""One collector: handlers, ring, hub and books, and the processes that they serve."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain

import numpy as np

import jcollect
from jcollect.attach.attached import Attached
from jcollect.attach.compilation import Compilation
from jcollect.attach.handlers import Handlers
from jcollect.attach.links import AUTO, Linker
from jcollect.discovery.live import LiveProbe
from jcollect.discovery.probes import Probe, Wanted, by_library, probes_of, with_ids
from jcollect.discovery.process import TracedProcess
from jcollect.stream.accounts import Accounts, Totals
from jcollect.stream.clock import utc_offset_ns
from jcollect.stream.cost import Cost
from jcollect.stream.hub import QUEUE_BYTES, Hub, NoSuchProbeError, meaning
from jcollect.stream.reader import FINISH_SECONDS, Reader
from jcollect.stream.record import RecordDecoder
from jcollect.stream.ring import Ring
from jcollect.stream.subscription import Subscription
from jcollect.stream.tracee import Tracee
from jcollect.workers import Failures
from jprobe.v1 import collector_pb2, probe_pb2

# 16 MiB: 262,144 numeric events, about 0.18 s of a thread that does nothing but fire.
RING_PAGES = 4096
# Probe ids that there can be at least. How many there can be is fixed when the maps are made.
LEAST_CAPACITY = 16384
# So many probes that are gone for good are still told of, in status and to new subscribers.
_MOST_GONE = 16384
# What of the wall clock's distance to the monotonic one is no more than measured.
# With --name or --all: 2 MiB of counters on two CPUs.
OPEN_CAPACITY = 65_536
_CLOCK_NOISE_NS = 1_000_000

_Libraries = list[tuple[Attached, list[LiveProbe]]]


class Session:
    """The order is: construct, `start`, `join` processes, `attach` and `follow` those, `leave` them when they
    have exited, `detach`; `close` in any case.

    Subscribers may come as soon as there is a session, and are served to the end by `detach`. All but
    `describe`, `subscribe` and `status` is for one thread.
    """

    def __init__(
        self,
        on_end: Callable[[], None] = lambda: None,
        max_events: int | None = None,
        ring_pages: int = RING_PAGES,
        way: str = AUTO,
        capacity: int = LEAST_CAPACITY,
        queue_bytes: int = QUEUE_BYTES,
        compilation: Compilation | None = None,
        without: frozenset[str] = frozenset(),
        max_overhead: int | None = None,
        failures: Failures | None = None,
    ) -> None:
        """Loads the handlers. `on_end` is called when `max_events` are reached; `failures` has what goes
        wrong in threads, and `on_end` is called for it where there are none. There are ids for `capacity`
        probes. `without` names what this kernel is to be taken as lacking. `max_overhead` is what the probes
        of one process may cost it, in percent of a core. Raises JcollectError.
        """
        self._started = time.time_ns()
        self._tracees: list[Tracee] = []
        self._fresh_id = 0
        self._free_ids: deque[int] = deque()
        # Of libraries that are unmapped for good, in the order in which they went.
        self._gone: deque[Attached] = deque()
        self.capacity = capacity
        self.max_overhead = max_overhead
        self._cost_of_gone = 0
        self._handlers = Handlers(capacity, ring_pages, compilation, without)
        self._linker = Linker(self._handlers, way)
        self._ring = Ring(self._handlers.ring_fd, self._handlers.ring_bytes)
        self.accounts = Accounts(capacity, self._handlers.hits, self._handlers.lost)
        self.hub = Hub([], self.accounts, queue_bytes)
        self._utc_offset = utc_offset_ns()
        self._decoder = RecordDecoder(capacity, self._utc_offset)
        self.failures = failures or Failures(on_end)
        self._reader = Reader(
            self._ring, self._decoder, self.hub, self.accounts, max_events, on_end, self.failures
        )
        self._reader_runs = False

    def start(self) -> None:
        """Begins to read the ring: events may come from the first link on. Raises JcollectError."""
        self._reader.start()
        self._reader_runs = True

    def join(self, process: TracedProcess, wanted: Wanted, name: str = "") -> Tracee:
        """One more process: its probes have ids and are described. `name`: its main class or command."""
        tracee = Tracee(process, wanted, name, self, self._linker, self.accounts, self.max_overhead)
        self._tracees = [*self._tracees, tracee]
        return tracee

    def leave(self, tracee: Tracee) -> None:
        """A process that has exited, or is wanted no longer."""
        tracee.leave()
        self._cost_of_gone += tracee.cost.total_ns
        self._tracees = [each for each in self._tracees if each is not tracee]

    @property
    def detach_seconds(self) -> float:
        """About how long `detach` will take."""
        return sum(each.closing_seconds for tracee in self._tracees for each in tracee.attached)

    def detach(self) -> Totals:
        """Destroys the links, drains the ring, lets the subscribers finish; the books are final then."""
        for tracee in self._tracees:
            tracee.unlink()
            tracee.cost.close()
        return self.settle()

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
            for each in tracee.attached:
                each.unlink()
            tracee.cost.close()
        self._ring.close()
        self._handlers.close()

    # What a tracee asks for: see tracee.Registry.

    def register(self, probes: Sequence[Probe]) -> list[Attached]:
        missing = len(probes) - (self.capacity - self._fresh_id) - len(self._free_ids)
        if missing > 0:
            self._forget_gone(missing)
        # Fresh ids first: the longer until an id stands for another probe, the better.
        fresh = min(len(probes), self.capacity - self._fresh_id)
        ids = list(range(self._fresh_id, self._fresh_id + fresh))
        while len(ids) < len(probes) and self._free_ids:
            ids.append(self._free_ids.popleft())
        self._fresh_id += fresh
        new = [Attached(group) for group in by_library(with_ids(probes, ids))]
        self._decoder.add(probe for each in new for probe in each.probes)
        self._handlers.used = self._fresh_id
        if new:
            self.hub.add([live.message() for each in new for live in each.read_live() or each.last_known()])
        return new

    def retire(self, attached: Attached) -> None:
        self._gone.append(attached)
        kept = sum(len(each.probes) for each in self._gone)
        if kept > _MOST_GONE:
            self._forget_gone(kept - _MOST_GONE)

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        self.hub.throttle(began, ended)

    def _forget_gone(self, probes: int) -> None:
        """Frees so many ids, if so many probes are gone and the books of these are closed."""
        books = self.accounts.books()
        while probes > 0 and self._gone and not books.totals(self._gone[0].ids).missing:
            forgotten = self._gone.popleft()
            ids = forgotten.ids.tolist()
            self.hub.remove(ids)
            self.accounts.release(forgotten.ids)
            self._free_ids.extend(ids)
            probes -= len(ids)

    # For any thread.

    def describe(self, globs: Sequence[str] = (), pids: Collection[int] = ()) -> list[collector_pb2.Probe]:
        """The probes that have ids and are meant, in the order of these, in their state of this moment."""
        return [message for _, message in self._described(self._live(), meaning(globs, pids))]

    def subscribe(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), peer: str = ""
    ) -> Subscription:
        """Raises NoSuchProbeError."""
        unknown = set(pids) - {tracee.pid for tracee in self._tracees}
        if unknown:
            raise NoSuchProbeError(f"PID {min(unknown)}")
        return self.hub.subscribe(globs, self.describe(), pids, peer)

    def status(
        self, globs: Sequence[str] = (), pids: Collection[int] = (), summary_only: bool = False
    ) -> collector_pb2.GetStatusResponse:
        """What is attached and how, and the books; those of single probes unless `summary_only`."""
        for tracee in self._tracees:
            tracee.read()
        # One look for processes and probes, so that they say the same.
        live = self._live()
        described = [] if summary_only else self._described(live, meaning(globs, pids))
        books = self.accounts.books()
        set_by = utc_offset_ns() - self._utc_offset
        return collector_pb2.GetStatusResponse(
            version=jcollect.__version__,
            pid=os.getpid(),
            started_unix_nanos=self._started,
            cpu_nanos=time.process_time_ns(),
            link=self._linker.way,
            ring_bytes=self._handlers.ring_bytes,
            ring_used_bytes=self._ring.used(),
            late=self._reader.late,
            clock_set_nanos=set_by if abs(set_by) > _CLOCK_NOISE_NS else 0,
            books=_books(self.accounts.totals()),
            processes=[_process(tracee, libraries) for tracee, libraries in live],
            probes=[
                collector_pb2.ProbeBooks(
                    probe=message,
                    books=_books(books.totals(np.array([message.id]))),
                    is_linked=attached.is_linked,
                    attach_point=attached.attach_point,
                )
                for attached, message in described
            ],
            subscribers=[
                collector_pb2.Subscriber(
                    peer=each.peer,
                    events=each.events,
                    delivered=each.delivered,
                    lost=each.lost,
                    queued=each.queued,
                    queued_bytes=each.queued_bytes,
                )
                for each in self.hub.subscribers()
            ],
            lost_by_gone_subscribers=self.hub.lost_by_gone,
        )

    def _live(self) -> list[tuple[Tracee, _Libraries]]:
        """Each process with its libraries and their probes, in their state of this moment."""
        return [(tracee, tracee.live()) for tracee in self._tracees]

    def _described(
        self,
        live: Sequence[tuple[Tracee, _Libraries]],
        is_meant: Callable[[collector_pb2.Probe], bool] | None,
    ) -> list[tuple[Attached, collector_pb2.Probe]]:
        found: list[tuple[Attached, collector_pb2.Probe]] = []
        gone = [(each, each.last_known()) for each in list(self._gone)]
        for each, probes in chain(*(libraries for _, libraries in live), gone):
            messages = (one.message() for one in probes)
            found += [(each, message) for message in messages if is_meant is None or is_meant(message)]
        return sorted(found, key=lambda pair: pair[1].id)


def _books(totals: Totals) -> collector_pb2.Books:
    return collector_pb2.Books(
        hits=totals.hits,
        delivered=totals.delivered,
        filtered=totals.filtered,
        lost_in_kernel_ring=totals.lost_in_ring,
        lost_in_collector=totals.lost_in_collector,
        throttled=totals.throttled,
        throttled_nanos=totals.throttled_ns,
    )


def _process(tracee: Tracee, libraries: _Libraries) -> collector_pb2.AttachedProcess:
    linked = [one for each, probes in libraries if each.is_linked for one in probes]
    return collector_pb2.AttachedProcess(
        pid=tracee.pid,
        name=tracee.name,
        libraries=sum(each.is_linked for each, _ in libraries),
        probes=sum(len(probes) for _, probes in libraries),
        armed=sum(one.state == probe_pb2.PROBE_STATE_ARMED for one in linked),
        throttled=sum(one.state == probe_pb2.PROBE_STATE_THROTTLED for one in linked),
        overhead=_overhead(tracee.cost),
    )


def _overhead(cost: Cost) -> collector_pb2.Overhead | None:
    now = cost.read()
    if now is None:
        return None
    return collector_pb2.Overhead(
        hit_nanos=now.hit_ns,
        recent_nanos=now.recent_ns,
        cost_nanos=max(cost.total_ns, 0),
        elapsed_nanos=cost.elapsed_ns,
        max_percent=now.max_percent,
        asked_percent=now.asked_percent,
        available_nanos=now.available_ns,
        max_percent_now=now.max_percent_now,
    )


def ids_for(processes: Iterable[TracedProcess], wanted: Wanted) -> int:
    """A capacity that leaves room for as many probes again, as classes are loaded."""
    found = sum(wanted(probe) for each in processes for probe in probes_of(each.libraries))
    return max(LEAST_CAPACITY, 2 * found)

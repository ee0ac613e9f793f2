"""Reads a session for exporters: its status, and the calls of its methods.

All exporters share the readings. The calls are counted from the moment at which a probe is armed, not from
the first scrape on.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jcollect.console import warn
from jcollect.errors import JcollectError
from jcollect.metrics.call_totals import CallSnapshot, CallTotals
from jcollect.probes.globs import TooCostlyError
from jcollect.session.session import Session
from jcollect.session.status import Status
from jcollect.workers import Worker

# Interval at which probes that have appeared are looked for, to count their calls.
_FOLLOW_SECONDS = 1.0
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True)
class Self:
    """The collector's own use of resources. `memory_bytes` is resident."""

    cpu_nanos: int
    memory_bytes: int
    descriptors: int


class ExportCounts(Protocol):
    """Numbers of items that an exporter has exported and dropped, and of its attempts that failed."""

    @property
    def name(self) -> str: ...
    @property
    def exported(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def failures(self) -> int: ...


@dataclass(frozen=True)
class Reading:
    """A session at one moment. `problem` says why calls are not counted; empty if they are."""

    unix_nanos: int
    status: Status
    calls: CallSnapshot
    most_methods: int
    own: Self
    capacity: int
    served: int
    lost_by_subscribers: int
    problem: str
    exports: Sequence[ExportCounts] = ()


class Readings:
    """Reads a session, one reading at a time. For any thread."""

    def __init__(self, session: Session, most_methods: int) -> None:
        """Raises JcollectError if no thread can be started."""
        self._session = session
        self._most_methods = most_methods
        self._lock = threading.Lock()
        self._totals = CallTotals(most_methods, time.time_ns())
        self._names: dict[int, str] = {}
        self._problem = ""
        self._lost = 0
        self._exports: Callable[[], Sequence[ExportCounts]] = lambda: ()
        self._aggregation = session.aggregate(may_match_later=True)
        self._has_ended = threading.Event()
        self._worker = Worker("count calls for exporters", self._follow, session.failures).start()

    def read(self) -> Reading:
        """Reads the memory of the processes, and waits for each for at most two seconds."""
        with self._lock:
            # The last calls of a process that exits are in the interval after its exit.
            self._count()
            status = self._session.status(summary_only=True)
            self._names = {each.pid: each.name for each in status.processes}
            self._totals.forget_exited(self._names.keys())
            # A subscriber that leaves must not be counted twice, nor missed.
            self._lost = max(self._lost, self._session.hub.lost())
            return Reading(
                unix_nanos=time.time_ns(),
                status=status,
                calls=self._totals.snapshot(),
                most_methods=self._most_methods,
                own=_own(),
                capacity=self._session.capacity,
                served=self._session.hub.served,
                lost_by_subscribers=self._lost,
                problem=self._problem,
                exports=self._exports(),
            )

    def show(self, exports: Callable[[], Sequence[ExportCounts]]) -> None:
        """Adds the counts of an exporter to all readings."""
        self._exports = exports

    def close(self) -> None:
        """Ends the counting."""
        self._has_ended.set()
        self._worker.join(_FOLLOW_SECONDS)
        self._aggregation.close()

    def _follow(self) -> None:
        """Has the calls of new probes counted soon, although nobody reads."""
        while not self._has_ended.is_set():
            with self._lock, contextlib.suppress(TooCostlyError):
                if self._aggregation.has_new_probes():
                    self._count()
            self._has_ended.wait(_FOLLOW_SECONDS)

    def _count(self) -> None:
        with self._reporting_problems():
            interval = self._aggregation.interval(is_whole=True)
            for probe in interval.probes:
                name = self._session.name_of(probe.pid)
                self._names[probe.pid] = name or self._names.get(probe.pid, "")
            self._totals.describe(interval.probes, self._names)
            self._totals.add(interval)

    @contextlib.contextmanager
    def _reporting_problems(self) -> Iterator[None]:
        try:
            yield
            self._problem = ""
        except JcollectError as error:
            if not self._problem:
                warn(f"metrics have no durations of calls: {error.message}")
            self._problem = error.message


def _own() -> Self:
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[1])
    return Self(time.process_time_ns(), pages * _PAGE_BYTES, len(os.listdir("/proc/self/fd")))

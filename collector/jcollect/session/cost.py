"""Measures the cost of the probes of one process during a session, and requests its overhead limit."""

from __future__ import annotations

import contextlib
import threading
import time

from jcollect.probes.overhead import Overhead, find_guarded, read_overhead
from jcollect.probes.probe import limits_of
from jcollect.probes.scan import Scan
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.maps import MappingKey
from jcollect.session.credibility import cpus
from jcollect.sources.base import Armed, Source


class Cost:
    """The cost of the probes of one process. Without an agent, a process has no known cost and keeps to no
    limit.

    For one thread at a time, except `end`.
    """

    def __init__(self, scan: Scan, source: Source, max_percent: int | None) -> None:
        """`max_percent` is the limit to request, in percent of a core: 0 requests no limit, and None leaves
        it to the agent. The source raises the semaphore that requests it."""
        self._source = source
        self._max_percent = max_percent
        self._library: StubLibrary | None = None
        self._key: MappingKey | None = None
        self._limit: Armed | None = None
        self._limit_lock = threading.Lock()
        self._has_ended = False
        self._begun = time.monotonic()
        self._total_before = 0
        self._of_earlier = 0
        self._last: Overhead | None = None
        self._find(scan)

    def follow(self, scan: Scan) -> None:
        """Adapts to the latest scan: the agent may have shut down and started again. Raises JcollectError."""
        if self._find(scan):
            self._withdraw()
        if self._library is not None and self._max_percent is not None and self._limit is None:
            self._request(self._library, self._max_percent)

    @property
    def is_guarded(self) -> bool:
        """True if the process has an agent, which keeps a limit."""
        return self._library is not None

    def read(self) -> Overhead | None:
        """Returns the current cost, or the last known one if the process has exited; None if no cost is
        known."""
        if self._library is not None:
            with contextlib.suppress(OSError):
                self._last = read_overhead(self._library)
        return self._last

    @property
    def last(self) -> Overhead | None:
        """The cost as of the last `read`."""
        return self._last

    @property
    def is_known(self) -> bool:
        """True if an agent has ever reported a cost."""
        return self._last is not None or self._of_earlier > 0

    @property
    def total_ns(self) -> int:
        """Cost of the probes since the session attached, for all tracers together, as of the last
        `read`. The process can claim any cost, but at most all CPUs for all that time is accepted."""
        now = 0 if self._last is None else self._last.total_ns - self._total_before
        return max(0, min(self._of_earlier + now, self.elapsed_ns * cpus()))

    @property
    def elapsed_ns(self) -> int:
        """Time since the session attached."""
        return int((time.monotonic() - self._begun) * 1e9)

    def end(self) -> None:
        """Withdraws the requested limit permanently. For any thread."""
        with self._limit_lock:
            self._has_ended = True
        self._withdraw()

    def _request(self, library: StubLibrary, percent: int) -> None:
        steps = limits_of(library)
        step = limit_step(percent, list(steps))
        if step not in steps:
            return  # No agent of jprobe wrote that.
        limit: Armed | None = self._source.raise_semaphores([steps[step].site])
        with self._limit_lock:
            if not self._has_ended:
                self._limit, limit = limit, None
        if limit is not None:
            limit.disarm()

    def _find(self, scan: Scan) -> bool:
        """Returns true if the agent is not the one found before."""
        found = find_guarded(scan.libraries)
        key = None if found is None else found.key
        if key == self._key:
            return False
        self._of_earlier = self.total_ns
        self._library, self._key, self._last = found, key, None
        overhead = self.read()
        self._total_before = 0 if overhead is None else overhead.total_ns
        return True

    def _withdraw(self) -> None:
        with self._limit_lock:
            limit, self._limit = self._limit, None
        if limit is not None:
            limit.disarm()


def limit_step(percent: int, steps: list[int]) -> int:
    """Returns the greatest step that is not above the requested limit; 0 stands for no limit."""
    return max((step for step in steps if 0 < step <= percent), default=0) if percent else 0

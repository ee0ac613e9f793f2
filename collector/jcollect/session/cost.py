"""What the probes of one process cost it since a session is attached, and the limit that it asks for."""

from __future__ import annotations

import contextlib
import threading
import time

from jcollect.probes.overhead import Overhead, find_guarded, read_overhead
from jcollect.probes.probe import limits_of
from jcollect.probes.scan import Scan
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.maps import MappingKey
from jcollect.sources.bpf.claims import cpus
from jcollect.sources.bpf.links import Linker, Links


class Cost:
    """The cost of the probes of one process. Without an agent, a process has no known cost and keeps to no
    limit.

    For one thread at a time, except `end`.
    """

    def __init__(self, scan: Scan, linker: Linker, max_percent: int | None) -> None:
        """`max_percent`, of a core, is what all its probes may cost as long as we are attached; 0: anything.
        None leaves it to the agent."""
        self._linker = linker
        self._max_percent = max_percent
        self._library: StubLibrary | None = None
        self._key: MappingKey | None = None
        self._limit: Links | None = None
        self._limit_lock = threading.Lock()
        self._has_ended = False
        self._begun = time.monotonic()
        self._total_before = 0
        self._of_earlier = 0
        self._last: Overhead | None = None
        self._find(scan)

    def follow(self, scan: Scan) -> None:
        """The process as it is now: its agent may have gone, and come again. Raises JcollectError."""
        if self._find(scan):
            self._lift()
        if self._library is not None and self._max_percent is not None and self._limit is None:
            self._ask(self._library, self._max_percent)

    @property
    def is_guarded(self) -> bool:
        """Whether there is an agent that keeps to a limit."""
        return self._library is not None

    def read(self) -> Overhead | None:
        """Of this moment; as it was last where the process has gone; None where it is not known."""
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
        """Whether an agent has ever told what its probes cost."""
        return self._last is not None or self._of_earlier > 0

    @property
    def total_ns(self) -> int:
        """Returns the cost of the probes since we attached, for all tracers together, as of the last `read`.
        The process can claim any cost, but at most all CPUs for all that time is accepted."""
        now = 0 if self._last is None else self._last.total_ns - self._total_before
        return max(0, min(self._of_earlier + now, self.elapsed_ns * cpus()))

    @property
    def elapsed_ns(self) -> int:
        """For how long that is."""
        return int((time.monotonic() - self._begun) * 1e9)

    def end(self) -> None:
        """Stops asking for the limit, permanently. For any thread."""
        with self._limit_lock:
            self._has_ended = True
        self._lift()

    def _ask(self, library: StubLibrary, percent: int) -> None:
        rungs = limits_of(library)
        rung = rung_of(percent, list(rungs))
        if rung not in rungs:
            return  # No agent of ours wrote that.
        limit: Links | None = self._linker.link([rungs[rung]])
        with self._limit_lock:
            if not self._has_ended:
                self._limit, limit = limit, None
        if limit is not None:
            limit.close()

    def _find(self, scan: Scan) -> bool:
        """Whether the agent is another than it was."""
        found = find_guarded(scan.libraries)
        key = None if found is None else found.key
        if key == self._key:
            return False
        self._of_earlier = self.total_ns
        self._library, self._key, self._last = found, key, None
        overhead = self.read()
        self._total_before = 0 if overhead is None else overhead.total_ns
        return True

    def _lift(self) -> None:
        with self._limit_lock:
            limit, self._limit = self._limit, None
        if limit is not None:
            limit.close()


def rung_of(percent: int, rungs: list[int]) -> int:
    """The greatest limit there is that is not above the one wanted; 0 is none at all."""
    return max((rung for rung in rungs if 0 < rung <= percent), default=0) if percent else 0

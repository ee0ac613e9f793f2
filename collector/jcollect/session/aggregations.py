"""The aggregations of one session: has its processes count, and ends them with the session."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Sequence

from jcollect.hub.hub import NoSuchProbeError, check_pids, few_of
from jcollect.session.aggregation import Aggregation
from jcollect.session.probe_group import ProbeGroup
from jcollect.session.refresher import Refresher
from jcollect.session.tracee import Tracee


class Aggregations:
    """Begins aggregations, until `end`. For any thread."""

    def __init__(self, tracees: Callable[[], Sequence[Tracee]], utc_offset_ns: int) -> None:
        """`tracees` returns the tracees of the session. One that leaves it must be passed to `forget`."""
        self._tracees = tracees
        self._utc_offset = utc_offset_ns
        self._counter = Refresher(tracees, Tracee.count)
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Aggregation] = weakref.WeakSet()
        self._is_over = False

    def begin(self, globs: Sequence[str], pids: Collection[int], may_match_later: bool) -> Aggregation:
        """Does what Session.aggregate does."""
        check_pids(pids, (tracee.pid for tracee in self._tracees()))
        aggregation = Aggregation(self._groups, self._counter.refresh, self._utc_offset, globs, pids)
        if not aggregation.follow() and not may_match_later:
            raise NoSuchProbeError(f"{few_of(globs) or 'the request'}, of those whose calls can be counted")
        with self._lock:
            self._open.add(aggregation)
            if self._is_over:
                aggregation.end()
        return aggregation

    def forget(self, tracee: Tracee) -> None:
        """Forgets a tracee that has left the session."""
        self._counter.forget(tracee)

    def end(self) -> None:
        """Ends all aggregations, and those that begin later: nothing more is counted."""
        with self._lock:
            self._is_over = True
            aggregations = list(self._open)
        for aggregation in aggregations:
            aggregation.end()

    def close(self) -> None:
        self._counter.close()

    def _groups(self) -> list[ProbeGroup]:
        return [group for tracee in self._tracees() for group in tracee.groups]

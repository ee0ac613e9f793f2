"""The histograms of the calls of some probes of a session, for one client: what each interval adds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.exponential_histogram import NOTHING, ExponentialHistogram
from jcollect.hub.hub import matching
from jcollect.hub.items import ThrottledCalls
from jcollect.probes.description import Described, ProbeDescription
from jcollect.session.group_counts import Flags, is_countable
from jcollect.session.probe_group import ProbeGroup


@dataclass(frozen=True)
class CountedInterval:
    """Calls by probe ID of one interval, and the probes that are described from now on. Times in ns since
    1970-01-01T00:00:00Z."""

    probes: Sequence[Described]
    histograms: Sequence[tuple[int, ExponentialHistogram]]
    start_unix_nanos: int
    end_unix_nanos: int
    throttled: Sequence[ThrottledCalls] = ()


class Aggregation:
    """Has the calls of matching probes counted from its first `interval` on, until `close`. For one thread at
    a time, except `end`."""

    def __init__(
        self,
        groups: Callable[[], Sequence[ProbeGroup]],
        count: Callable[[], object],
        utc_offset_ns: int,
        globs: Sequence[str],
        pids: Collection[int],
    ) -> None:
        """`groups` returns the groups of the session, and `count` updates their counts."""
        self._groups = groups
        self._count = count
        self._utc_offset = utc_offset_ns
        # One budget for all probes, those that appear later included.
        self._matches = matching(globs, pids)
        self._known: dict[ProbeGroup, Flags] = {}
        self._before: dict[ProbeGroup, list[ExponentialHistogram]] = {}
        self._suppressed_before: dict[ProbeGroup, npt.NDArray[np.uint64]] = {}
        self._new: list[ProbeDescription] = []
        self._end = 0
        self._has_ended = threading.Event()

    def follow(self) -> bool:
        """Finds the matching probes that have appeared by now. Returns true if any matches. Raises
        TooCostlyError."""
        for group in self._groups():
            if group in self._known:
                continue
            live = [(is_countable(one.probe), one.describe()) for one in group.known]
            wanted = np.array(
                [can and (self._matches is None or self._matches(each)) for can, each in live], np.bool_
            )
            self._known[group] = wanted
            if wanted.any():
                self._new += [each for (_, each), is_wanted in zip(live, wanted, strict=True) if is_wanted]
                group.calls.hold(self, wanted)
        return any(wanted.any() for wanted in self._known.values())

    def has_new_probes(self) -> bool:
        """Returns true if probes match that no interval has described yet. Raises TooCostlyError."""
        self.follow()
        return bool(self._new)

    def interval(self, is_whole: bool = False) -> CountedInterval:
        """Returns the calls since the last call of this method; the first time none, and those before do not
        count. With `is_whole`, returns all calls since the collector began to count.

        Waits for each process for at most a second. Raises TooCostlyError, and JcollectError if no process
        can be made to count.
        """
        self.follow()
        self._count()
        wanted_groups = [group for group, wanted in self._known.items() if wanted.any()]
        if wanted_groups and all(group.calls.problem for group in wanted_groups):
            raise JcollectError(wanted_groups[0].calls.problem)
        now = time.monotonic_ns() + self._utc_offset
        is_first, began = not self._end, self._end or now
        self._end = now
        found: list[tuple[int, ExponentialHistogram]] = []
        throttled: list[ThrottledCalls] = []
        for group, wanted in list(self._known.items()):
            counted = list(group.calls.counted)
            before = self._before.get(group)
            self._before[group] = counted
            if before is None:
                before = counted if is_first and not is_whole else [NOTHING] * len(counted)
                if is_first and not is_whole:
                    self._suppressed_before[group] = group.suppressed
            throttled += self._throttled(group, wanted)
            for i in np.flatnonzero(wanted).tolist():
                if counted[i] is not before[i]:
                    found.append((int(group.ids[i]), counted[i] - before[i]))
        new, self._new = self._new, []
        self._forget_retired()
        return CountedInterval(new, found, began, now, throttled)

    def wait(self, seconds: float) -> bool:
        """Waits until `end` is called, at most `seconds`. Returns true if it has been."""
        return self._has_ended.wait(seconds)

    def end(self) -> None:
        """Ends all waiting. For any thread."""
        self._has_ended.set()

    def close(self) -> None:
        """Ends the counting, after a few seconds."""
        for group in list(self._known):
            group.calls.release(self)

    def _throttled(self, group: ProbeGroup, wanted: Flags) -> list[ThrottledCalls]:
        """Returns what was throttled since the last call of this method."""
        # The array is replaced, and never changed.
        now = group.suppressed
        more = now - self._suppressed_before.get(group, np.zeros_like(now))
        self._suppressed_before[group] = now
        return [
            ThrottledCalls(int(group.ids[i]), int(more[i, 1]), int(more[i, 2]))
            for i in np.flatnonzero(wanted & more[:, 1:].any(axis=1)).tolist()
        ]

    def _forget_retired(self) -> None:
        """Forgets the groups whose last calls have been returned."""
        present = set(self._groups())
        for group in [each for each in self._known if each not in present]:
            group.calls.release(self)
            del self._known[group]
            self._before.pop(group, None)
            self._suppressed_before.pop(group, None)

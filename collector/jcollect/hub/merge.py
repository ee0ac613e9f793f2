"""Merges the events of several sources in the order of their times. With one source none of this is used."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from jcollect.sources.base import ALWAYS, Drainable, Drained, Pause
from jcollect.sources.columns import MOST_BYTES, Batch, empty_batch, merged

_NOTHING = empty_batch()


class Merge(Drainable):
    """Drains several sources as one. Renumbers the events.

    All sources are drained up to the same time, which advances once none has more. Until then, events that
    are younger than those of such a source are buffered: at most one batch of each source.
    """

    def __init__(self, sources: Sequence[Drainable]) -> None:
        self._sources = sources
        self.pause = Pause(
            min(source.pause.shortest for source in sources), min(source.pause.longest for source in sources)
        )
        self._kept: list[Batch] = [empty_batch()] * len(sources)
        self._has_more = [False] * len(sources)
        self._is_holding = [False] * len(sources)
        self._ready: deque[Batch] = deque()
        self._until = 0
        self._next_seq = 0
        self._newest = 0
        self._out_of_order = 0
        self._poll_after = 0  # Time until the next poll, in ms.

    @property
    def out_of_order(self) -> int:
        return self._out_of_order

    def drain(self, until: int = ALWAYS) -> Drained:
        lost = 0 if self._ready else self._fill(until)
        batch = self._ready.popleft() if self._ready else _NOTHING
        more = bool(self._ready) or self._is_unfinished or self._until < until
        return Drained(batch, lost, more, any(self._is_holding))

    @property
    def _is_quiet(self) -> bool:
        """True if nothing happens, which is when polls must cost little."""
        return (
            not self._ready and not self._is_unfinished and all(source.is_quiet for source in self._sources)
        )

    @property
    def _is_unfinished(self) -> bool:
        return any(self._has_more) or any(map(len, self._kept))

    def wait_and_drain(self, window_ns: int, stop: int) -> Drained | None:
        poll = select.poll()
        for descriptor in [stop, *(each.descriptor for each in self._sources)]:
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        while True:
            if any(descriptor == stop for descriptor, _ in poll.poll(self._poll_after)):
                return None
            if self._is_quiet:
                self._poll_after = self._next_pause(False)
                continue
            drained = self.drain(max(0, time.monotonic_ns() - window_ns))
            is_active = len(drained.batch) > 0 or drained.is_holding
            self._poll_after = 0 if drained.more else self._next_pause(is_active)
            if len(drained.batch) or drained.lost or drained.more:
                return drained

    def _next_pause(self, is_active: bool) -> int:
        """Returns the time until the next poll, in ms. It doubles as long as nothing happens."""
        twice = 2 * self._poll_after
        if is_active or twice < self.pause.shortest:
            return self.pause.shortest
        return min(twice, self.pause.longest)

    def _fill(self, until: int) -> int:
        """Drains the sources, and makes batches of the events that no source can precede any more. Returns
        the number of lost events."""
        lost = 0
        fresh: list[Batch] = [_NOTHING] * len(self._sources)
        if not self._is_unfinished:
            self._until = until
        for number, source in enumerate(self._sources):
            if source.is_quiet and not len(self._kept[number]):
                self._has_more[number] = self._is_holding[number] = False
            elif not len(self._kept[number]):
                drained = source.drain(self._until)
                lost += drained.lost
                fresh[number] = drained.batch
                self._has_more[number] = drained.more
                self._is_holding[number] = drained.is_holding
        only = self._only_batch(fresh)
        if only is not None:
            if len(only):
                self._ready.append(self._numbered(only))
            self._next_seq += lost
            return lost
        for number, batch in enumerate(fresh):
            if len(batch):
                self._kept[number] = batch.kept()
        horizon = min(
            (_last_time(kept) for kept, more in zip(self._kept, self._has_more, strict=True) if more),
            default=ALWAYS,
        )
        parts = []
        for number, kept in enumerate(self._kept):
            is_ripe = kept.columns.time_unix_nanos <= np.uint64(horizon)
            parts.append(kept.pick(is_ripe))
            self._kept[number] = kept.pick(~is_ripe)
        batch = self._numbered(merged(parts))
        self._ready += _split(batch)
        # A gap: they are lost.
        self._next_seq += lost
        return lost

    def _only_batch(self, fresh: Sequence[Batch]) -> Batch | None:
        """Returns what has been drained if only one source has any events, and none of another may precede
        them. It needs no copy: it is published before the next drain."""
        if any(map(len, self._kept)):
            return None
        active = [number for number, batch in enumerate(fresh) if len(batch)]
        if len(active) > 1 or any(
            has_more for number, has_more in enumerate(self._has_more) if number not in active
        ):
            return None
        return fresh[active[0]] if active else _NOTHING

    def _numbered(self, batch: Batch) -> Batch:
        """Gives the events the next sequence numbers, and counts those that are older than published ones."""
        times = batch.columns.time_unix_nanos
        if len(batch):
            if int(times[0]) < self._newest:
                self._out_of_order += int((times < np.uint64(self._newest)).sum())
            self._newest = max(self._newest, int(times[-1]))
        first, self._next_seq = self._next_seq, self._next_seq + len(batch)
        return batch.with_seq(np.arange(first, self._next_seq, dtype=np.uint64))


def _split(batch: Batch) -> Iterator[Batch]:
    """Yields parts of at most MOST_BYTES."""
    numbers = np.arange(len(batch))
    ends = np.cumsum(batch.sizes)
    first = 0
    while first < len(batch):
        before = ends[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + MOST_BYTES, "right")))
        yield batch.pick((numbers >= first) & (numbers < end))
        first = end


def _last_time(batch: Batch) -> int:
    return int(batch.columns.time_unix_nanos[-1]) if len(batch) else 0

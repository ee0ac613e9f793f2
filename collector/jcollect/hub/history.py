"""The newest events of a hub, bounded in bytes, for subscribers that come late or come back.

The hub's lock protects it: whoever calls holds it, unless a method says otherwise. It also counts the
published events by probe, those that it has evicted included, so that a subscriber learns exactly how many it
has missed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jcollect.hub.cursor import Cursor
from jcollect.hub.items import EncodedEvents
from jcollect.sources.columns import MOST_BYTES, U32, U64, Batch, Flags, joined

# Memory of an entry besides its columns: objects of Python.
_ENTRY_BYTES = 1024
# At a low rate a batch has one event. Entries that are smaller are joined when there are this many.
_SMALL_BYTES = 4 << 10
_MOST_SMALL = 64
# Entries that have left are removed from the list once they are this many.
_LEAST_LEFT = 256


class KeptEvents(NamedTuple):
    """A batch that no subscriber had to have encoded. `cursor` is the position after the events."""

    batch: Batch
    cursor: Cursor
    size: int


class Counted(NamedTuple):
    """How many events of each probe a batch has: `probes` are distinct IDs, `counts` uint64."""

    probes: npt.NDArray[np.int64]
    counts: U64


class Entry(NamedTuple):
    """A batch of the history, and how many events of each probe it has: `probes` are IDs, `counts` uint64."""

    events: EncodedEvents | KeptEvents
    probes: npt.NDArray[np.int64]
    counts: U64

    @property
    def end(self) -> int:
        """The number of the event after the last one."""
        return self.events.cursor.seq

    @property
    def bytes(self) -> int:
        """Memory that the entry takes."""
        return self.events.size + _ENTRY_BYTES


class History:
    """Entries of consecutive sequence numbers."""

    def __init__(self, most_bytes: int, capacity: int, epoch: int) -> None:
        """`capacity` is the number of probe IDs. With 0 bytes, nothing is kept."""
        self.epoch = epoch
        self._most_bytes = most_bytes
        self._entries: list[Entry] = []
        # The entries before this index have left.
        self._head = 0
        self._bytes = 0
        self._small = 0
        # Sequence number of the next event, and of the first one that is still held.
        self.next_seq = 0
        self.first_seq = 0
        self._published = np.zeros(capacity, np.uint64)
        self._evicted = np.zeros(capacity, np.uint64)
        # Events before this number are not those of the probe that has the ID now.
        self._reassigned_at: U64 | None = None
        self.reassigned_seq = -1
        # How often probes have been removed.
        self.removals = 0

    @property
    def is_kept(self) -> bool:
        """True if entries are kept at all."""
        return self._most_bytes > 0

    def published(self, wanted: Flags | None) -> int:
        """Returns the number of events so far that belong to the wanted probes; None stands for all."""
        return _total(self._published, wanted)

    def evicted(self, wanted: Flags | None) -> int:
        """Returns the number of events of the wanted probes that are not held any more."""
        return _total(self._evicted, wanted)

    def advance(self, batch: Batch) -> Counted:
        """Counts a batch that is about to be published."""
        counted = _counted(batch.columns.probe)
        self._published[counted.probes] += counted.counts
        self.next_seq = int(batch.columns.seq[-1]) + 1
        return counted

    def add(self, events: EncodedEvents | KeptEvents, counted: Counted) -> None:
        """Adds the batch that was counted last, and evicts what exceeds the limit."""
        entry = Entry(events, *counted)
        self._entries.append(entry)
        self._bytes += entry.bytes
        self._small = self._small + 1 if events.size < _SMALL_BYTES else 0
        if self._small == _MOST_SMALL:
            self._join_small()
        while self._bytes > self._most_bytes and self._head < len(self._entries):
            self._evict()
        if self._head > max(_LEAST_LEFT, len(self._entries) // 2):
            del self._entries[: self._head]
            self._head = 0

    def skip(self, counted: Counted) -> None:
        """Counts the batch that was counted last as evicted at once: nothing is kept."""
        self._evicted[counted.probes] += counted.counts
        self.first_seq = self.next_seq

    def _evict(self) -> None:
        entry = self._entries[self._head]
        # The list keeps its place until it is shortened.
        self._entries[self._head] = _GONE
        self._head += 1
        self._bytes -= entry.bytes
        self._evicted[entry.probes] += entry.counts
        self.first_seq = entry.end

    def _join_small(self) -> None:
        self._small = 0
        first = len(self._entries) - _MOST_SMALL
        if first < self._head:
            return
        small = self._entries[first:]
        batch = joined([entry.events.batch for entry in small])
        kept = KeptEvents(batch, small[-1].events.cursor, batch.size)
        entry = Entry(kept, *_counted(batch.columns.probe[self.current(batch)]))
        self._entries[first:] = [entry]
        self._bytes += entry.bytes - sum(each.bytes for each in small)

    def forget(self, ids: Sequence[int]) -> None:
        """Forgets the events of removed probes, whose IDs can be reassigned."""
        if self._reassigned_at is None:
            self._reassigned_at = np.zeros(len(self._published), np.uint64)
        self._reassigned_at[ids] = self.next_seq
        self.reassigned_seq = self.next_seq
        self.removals += 1
        self._published[ids] = self._evicted[ids] = 0
        removed = np.zeros(len(self._published), np.bool_)
        removed[ids] = True
        for entry in self._entries[self._head :]:
            entry.counts[removed[entry.probes]] = 0

    def current(self, batch: Batch) -> Flags | slice:
        """Returns which events belong to probes that have not been removed. Needs no lock."""
        if self._reassigned_at is None:
            return slice(None)
        current: Flags = batch.columns.seq >= self._reassigned_at[batch.columns.probe]
        return current

    def held(self) -> list[Entry]:
        """Returns all entries, oldest first."""
        return self._entries[self._head :]

    def after(self, seq: int) -> list[Entry]:
        """Returns the entries that hold the events from this number on, oldest first: as many as fit a
        message, and at least one if there is any."""
        at = bisect_right(self._entries, seq, lo=self._head, key=lambda entry: entry.end)
        found: list[Entry] = []
        size = 0
        for entry in self._entries[at : at + _MOST_SMALL]:
            size += entry.events.size
            if found and size > MOST_BYTES:
                break
            found.append(entry)
        return found


def _counted(probe: U32) -> Counted:
    """Returns the IDs in a column, and how often each occurs."""
    if len(probe):
        first, last = int(probe.min()), int(probe.max())
        if first == last:
            return Counted(np.array([first], np.int64), np.array([len(probe)], np.uint64))
    ids, counts = np.unique(probe, return_counts=True)
    return Counted(ids.astype(np.int64), counts.astype(np.uint64))


_GONE = Entry(
    EncodedEvents(b"", np.zeros(0, np.uint32), np.zeros(0, np.uint32), Cursor(0, 0, 0)),
    np.zeros(0, np.int64),
    np.zeros(0, np.uint64),
)


def _total(counts: U64, wanted: Flags | None) -> int:
    return int((counts if wanted is None else counts[wanted]).sum())

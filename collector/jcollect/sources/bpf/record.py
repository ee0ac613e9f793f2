"""Decodes the handler's records into columns, in the order of their times.

Record, the same in bpf/events.c and drain.c, little-endian, after the ring's own 8 bytes:
  u64 time      CLOCK_MONOTONIC, ns
  u32 tid       root PID namespace
  u32 probe     probe id
  u32 text      bytes of text after the words
  u16 words     number of words
  u16 flags     bit 0: the words on the stack could not be read, and are 0
  u64 word[words]; in place of a string:
      bits 0..31 length in bytes, bit 32 there is a string (not null), bit 33 could not be read,
      bit 34 the agent has cut it
  u8  text[text], all strings one after the other, without NULs
  unused bytes up to the size class

A text ends at its NUL, so the agent writes U+0000 as C0 80, which is not UTF-8. Here it becomes a 00.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.probes.probe import MAX_WORDS, TIMED_KINDS, Probe
from jcollect.sources.bpf.drain import (
    LEAST_RECORD_BYTES,
    MORE,
    STAGED_BYTES,
    STOPPED,
    TORN,
    DrainState,
    Pace,
    load_library,
)
from jcollect.sources.bpf.ring import Ring
from jcollect.sources.columns import U32, Batch, Columns

# Of one batch, which is one message to subscribers: what a thread that does nothing but fire does in 6 ms.
MOST_EVENTS = 8192
MOST_BYTES = 512 << 10
# Of one look into the ring.
_MOST_RECORDS = 8192
# What can be held back: 5 ms of eight threads that do nothing but fire. Touched only if it is needed.
ARENA_BYTES = 4 << 20

# Without limit: everything is old enough.
ALWAYS = (1 << 64) - 1

_ONE_EACH = {
    "seq": np.uint64, "time": np.uint64, "probe": np.uint32, "tid": np.uint32, "thread": np.uint64,
    "duration": np.uint64, "value_counts": np.uint32, "text_sizes": np.uint32,
}  # fmt: skip


@dataclass(frozen=True)
class Drained:
    """What one look has brought; valid until the next, which writes to the same memory.

    `senseless` (uint32) are the probe ids of records that made no sense, one element each; the last id
    that there can be stands for all beyond. `more`: another look at once will bring more.
    """

    batch: Batch
    senseless: U32
    more: bool


class RecordDecoder:
    """Knows the probes by id, and so what the words of each record mean. `drain` is for one thread.

    Its table has a row for each id below `capacity` and is filled as ids are given out: a probe's row
    is there before it is linked, and so before anybody looks for it.
    """

    def __init__(
        self,
        capacity: int,
        utc_offset_ns: int,
        most_events: int = MOST_EVENTS,
        arena_bytes: int = ARENA_BYTES,
    ) -> None:
        """Raises JcollectError where drain.c is not built."""
        self._library = load_library()
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "probes": np.zeros(capacity, np.uint64),
            "arena": np.empty(arena_bytes // 8, np.uint64),
            "other_arena": np.empty(arena_bytes // 8, np.uint64),
            "staged": np.empty(arena_bytes // LEAST_RECORD_BYTES * STAGED_BYTES, np.uint8),
            "spare": np.empty(arena_bytes // LEAST_RECORD_BYTES * STAGED_BYTES, np.uint8),
            "values": np.empty(most_events * (MAX_WORDS - 1), np.uint64),
            "text": np.empty(MOST_BYTES, np.uint8),
            "senseless": np.empty(_MOST_RECORDS, np.uint32),
            **{name: np.empty(most_events, dtype) for name, dtype in _ONE_EACH.items()},
        }
        self._state = DrainState(
            capacity=capacity,
            utc_offset=utc_offset_ns % (1 << 64),
            most_records=_MOST_RECORDS,
            most_events=most_events,
            most_bytes=MOST_BYTES,
            arena_bytes=arena_bytes,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )

    def add(self, probes: Iterable[Probe]) -> None:
        """Probes whose records may come from now on."""
        rows = self._arrays["probes"]
        for probe in probes:
            # struct probe, at once: the reader does not wait for us.
            rows[probe.id] = (
                probe.words
                | probe.string_mask << 16
                | probe.first_value << 32
                | len(probe.values) << 40
                | (probe.kind in TIMED_KINDS) << 48
            )

    @property
    def held_back(self) -> int:
        """Events that have been read and are not old enough yet."""
        return int(self._state.end - self._state.first)

    @property
    def out_of_order(self) -> int:
        """Events that came after newer ones."""
        return int(self._state.out_of_order)

    def drain(self, ring: Ring, until: int = ALWAYS) -> Drained:
        """Looks into the ring; brings what has happened up to `until`, ns of CLOCK_MONOTONIC, oldest first.

        It is not more than a batch. What is younger is held back, unless there is no room for it. Raises
        JcollectError where the ring is not what the kernel makes.
        """
        return self._drained(self._library.drain(self._state, ring.memory, until))

    def wait_and_drain(self, ring: Ring, pace: Pace, stop: int) -> Drained | None:
        """The same as soon as there is something to bring; None as soon as the file `stop` can be read."""
        result = self._library.wait_and_drain(self._state, ring.memory, pace, stop)
        return None if result == STOPPED else self._drained(result)

    def _drained(self, result: int) -> Drained:
        state = self._state
        if result == TORN and not state.event_count and not state.senseless_count:
            raise JcollectError("the ring buffer is torn: it cannot be read any further; attach again")
        return Drained(
            self._batch(state.event_count),
            self._arrays["senseless"][: state.senseless_count],
            result in (MORE, TORN),
        )

    def _batch(self, count: int) -> Batch:
        arrays, state = self._arrays, self._state
        columns = Columns(
            seq=arrays["seq"][:count],
            time_unix_nanos=arrays["time"][:count],
            probe=arrays["probe"][:count],
            tid=arrays["tid"][:count],
            thread=arrays["thread"][:count],
            duration_nanos=arrays["duration"][:count],
            values=arrays["values"][: state.values_count],
            text=arrays["text"][: state.text_bytes].tobytes(),
        )
        return Batch(columns, arrays["value_counts"][:count], arrays["text_sizes"][:count])

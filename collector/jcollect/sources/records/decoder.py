"""Decodes records of firings into columns, in the order of their times.

layout/record.toml describes a record. A text ends at its NUL, so the agent writes U+0000 as C0 80, which is
not UTF-8. In the columns it is a 00.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.layout.drain import (
    DRAIN_MORE,
    DRAIN_STATE_ARRAYS,
    DRAIN_STOPPED,
    DRAIN_TORN,
    EVENT_COLUMNS_BYTES,
    STAGED_SIZE,
    DrainState,
    Pace,
    Pools,
    RingMemory,
    pack_probe_row,
)
from jcollect.layout.record import RECORD_SIZE
from jcollect.probes.probe import TIMED_KINDS, Probe
from jcollect.sources.base import ALWAYS
from jcollect.sources.columns import MOST_BYTES, U32, Batch, Columns, empty_batch
from jcollect.sources.records.library import load_library

# Maximum number of records read by one drain: the events of 20 ms of a thread that does nothing but fire.
_MOST_RECORDS = 65536
# Size of the buffered events: 5 ms of eight threads that do nothing but fire. Unused pages are never touched.
ARENA_BYTES = 4 << 20

# One element for each event.
_COLUMNS = (
    "seq",
    "time",
    "probe",
    "tid",
    "thread",
    "duration",
    "start",
    "is_virtual",
    "value_counts",
    "text_sizes",
)
_WORD_BYTES = np.dtype(np.uint64).itemsize


@dataclass(frozen=True)
class Decoded:
    """The result of one drain; valid until the next, which writes to the same memory.

    `malformed` (uint32) holds the probe ID of each malformed record; the highest ID stands for all beyond it.
    `more`: another drain brings more at once.
    """

    batch: Batch
    malformed: U32
    more: bool


class RecordDecoder:
    """Interprets the words of each record by its probe ID. `drain` is for one thread.

    Its table has a row for each ID below `capacity`. A probe's row is filled before the probe is linked, and
    so before the drain reads its first record.
    """

    def __init__(
        self,
        capacity: int,
        utc_offset_ns: int,
        most_events: int = MOST_BYTES // EVENT_COLUMNS_BYTES,
        arena_bytes: int = ARENA_BYTES,
    ) -> None:
        """Raises JcollectError if the drain is not built."""
        self.capacity = capacity
        self._library = load_library()
        # A record has at least one word.
        most_staged = arena_bytes // (RECORD_SIZE + _WORD_BYTES)
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "probes": np.zeros(capacity, np.uint64),
            "arena": np.empty(arena_bytes // _WORD_BYTES, np.uint64),
            "other_arena": np.empty(arena_bytes // _WORD_BYTES, np.uint64),
            "staged": np.empty(most_staged * STAGED_SIZE, np.uint8),
            "spare": np.empty(most_staged * STAGED_SIZE, np.uint8),
            "values": self._column("values", MOST_BYTES // _WORD_BYTES),
            "text": np.empty(MOST_BYTES, np.uint8),
            "malformed": self._column("malformed", _MOST_RECORDS),
            **{name: self._column(name, most_events) for name in _COLUMNS},
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

    @staticmethod
    def _column(name: str, elements: int) -> npt.NDArray[Any]:
        return np.empty(elements, DRAIN_STATE_ARRAYS[name])

    def add(self, ids: Iterable[int], probes: Iterable[Probe]) -> None:
        """Makes probes known whose records may come from now on."""
        rows = self._arrays["probes"]
        for number, probe in zip(ids, probes, strict=True):
            # One store of 8 bytes: the reader does not wait for this thread.
            rows[number] = pack_probe_row(
                words=probe.site.words,
                strings=probe.site.string_mask,
                first_value=probe.first_value,
                values=len(probe.values),
                timed=probe.kind in TIMED_KINDS,
                threaded=probe.slot is not None,
            )

    @property
    def buffered(self) -> int:
        """Number of events that have been read and are not old enough yet."""
        return int(self._state.end - self._state.first)

    @property
    def out_of_order(self) -> int:
        """Number of events that were drained after younger ones."""
        return int(self._state.out_of_order)

    def drain(self, ring: RingMemory, until: int = ALWAYS) -> Decoded:
        """Reads a BPF ring buffer. Returns at most one batch of events, oldest first, up to the time `until`,
        in ns of CLOCK_MONOTONIC. Younger events are buffered as long as there is room for them.

        Raises JcollectError if the content is not a ring buffer of the kernel.
        """
        return self._drained(self._library.drain(self._state, ring, until))

    def drain_pools(self, pools: Pools, until: int = ALWAYS) -> Decoded:
        """Reads the pools of the direct lane, as `drain` reads a ring buffer. Raises nothing: what cannot be
        read is malformed."""
        return self._drained(self._library.drain_pools(self._state, pools, until))

    def wait_and_drain(self, ring: RingMemory, pace: Pace, stop: int) -> Decoded | None:
        """Waits for events, and drains them. Returns None as soon as the file `stop` is readable."""
        result = self._library.wait_and_drain(self._state, ring, pace, stop)
        return None if result == DRAIN_STOPPED else self._drained(result)

    def _drained(self, result: int) -> Decoded:
        state = self._state
        if result == DRAIN_TORN and not state.event_count and not state.malformed_count:
            raise JcollectError("cannot read events: the ring buffer is corrupted; attach again")
        return Decoded(
            self._batch(state.event_count),
            self._arrays["malformed"][: state.malformed_count],
            result in (DRAIN_MORE, DRAIN_TORN),
        )

    def _batch(self, count: int) -> Batch:
        if not count:
            return empty_batch()
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
            start_unix_nanos=arrays["start"][:count],
        )
        is_virtual = arrays["is_virtual"][:count].view(np.bool_)
        return Batch(columns, arrays["value_counts"][:count], arrays["text_sizes"][:count], is_virtual)

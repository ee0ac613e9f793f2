"""Events as numpy columns, with the contents of the protocol's EventBatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from jcollect.layout.drain import EVENT_COLUMNS_BYTES
from jcollect.sources.explanation import Explanation, joined_explanations

_Element = TypeVar("_Element", bound=np.generic)
U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
# The columns with an element for each event.
EACH = ("seq", "time_unix_nanos", "probe", "tid", "thread", "duration_nanos", "start_unix_nanos")
# Maximum size of the columns of one batch, which is one message to subscribers of at most 1 MiB.
MOST_BYTES = (1 << 20) - 96
_LONG, _SHORT = np.zeros(0, np.uint64), np.zeros(0, np.uint32)


@dataclass(frozen=True)
class Columns:
    """Element i of each column belongs to event i, except for `values` and `text`; see EventBatch.

    uint64: seq, time_unix_nanos, thread, duration_nanos, values, start_unix_nanos. uint32: probe, tid.
    `start_unix_nanos` may be empty: then no start is known.
    """

    seq: U64
    time_unix_nanos: U64
    probe: U32
    tid: U32
    thread: U64
    duration_nanos: U64
    values: U64
    text: bytes
    start_unix_nanos: U64 = field(default_factory=lambda: _LONG)
    explanation: Explanation | None = None

    def __len__(self) -> int:
        return len(self.seq)

    def with_starts(self) -> Columns:
        """Returns the columns with a start for each event: 0 if none is known."""
        if len(self.start_unix_nanos) == len(self):
            return self
        return replace(self, start_unix_nanos=np.zeros(len(self), np.uint64))


class Ends(NamedTuple):
    """Where each event ends in `values` and in `text`: int64, one element for each event."""

    values: npt.NDArray[np.int64]
    text: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Columns, and the size of each event's part of `values` and `text`, so that events can be picked out.

    `value_counts` and `text_sizes` are uint32, one element for each event; sizes in bytes. `is_virtual` is
    true for events of virtual threads, and None if that is not known.
    """

    columns: Columns
    value_counts: U32
    text_sizes: U32
    is_virtual: Flags | None = None

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Size of each event in the columns, in bytes."""
        explanation = self.columns.explanation
        each = EVENT_COLUMNS_BYTES + (explanation.bytes_per_event() if explanation else 0)
        return each + 8 * self.value_counts.astype(np.int64) + self.text_sizes

    def pick(self, wanted: Flags) -> Batch:
        """Returns the events for which `wanted`, one bool for each event, is true."""
        if wanted.all():
            return self
        c = self.columns
        text = c.text
        if text:
            ends = np.cumsum(self.text_sizes, dtype=np.int64)
            starts = ends - self.text_sizes
            text = b"".join(
                [text[a:b] for a, b in zip(starts[wanted].tolist(), ends[wanted].tolist(), strict=True)]
            )
        return Batch(
            Columns(
                seq=c.seq[wanted],
                time_unix_nanos=c.time_unix_nanos[wanted],
                probe=c.probe[wanted],
                tid=c.tid[wanted],
                thread=c.thread[wanted],
                duration_nanos=c.duration_nanos[wanted],
                values=c.values[np.repeat(wanted, self.value_counts)],
                text=text,
                start_unix_nanos=c.start_unix_nanos[wanted] if len(c.start_unix_nanos) else _LONG,
                explanation=c.explanation and c.explanation.at(wanted),
            ),
            self.value_counts[wanted],
            self.text_sizes[wanted],
            None if self.is_virtual is None else self.is_virtual[wanted],
        )

    def halves(self) -> tuple[Batch, Batch]:
        """Returns the first events and the others. Columns that are left out stay so."""
        ends = self.ends()
        middle = len(self) // 2
        return self.part(0, middle, ends), self.part(middle, len(self), ends)

    def ends(self) -> Ends:
        """Returns where the events end in `values` and `text`, for `part`."""
        return Ends(np.cumsum(self.value_counts, dtype=np.int64), np.cumsum(self.text_sizes, dtype=np.int64))

    def part(self, begin: int, end: int, ends: Ends) -> Batch:
        """Returns the events from `begin` to before `end`. Their columns are views, except `text`."""
        if begin == 0 and end == len(self):
            return self
        c = self.columns
        columns = {name: getattr(c, name)[begin:end] for name in EACH}
        values, text = (
            slice(int(of[begin - 1]) if begin else 0, int(of[end - 1]) if end else 0) for of in ends
        )
        return Batch(
            Columns(
                **columns,
                values=c.values[values],
                text=c.text[text],
                explanation=c.explanation and c.explanation.at(slice(begin, end)),
            ),
            self.value_counts[begin:end],
            self.text_sizes[begin:end],
            None if self.is_virtual is None else self.is_virtual[begin:end],
        )

    def with_seq(self, seq: U64) -> Batch:
        """Returns the same events with other sequence numbers."""
        return replace(self, columns=replace(self.columns, seq=seq))

    def kept(self) -> Batch:
        """Returns a copy that stays valid after the next drain."""
        c = self.columns
        columns = Columns(
            c.seq.copy(),
            c.time_unix_nanos.copy(),
            c.probe.copy(),
            c.tid.copy(),
            c.thread.copy(),
            c.duration_nanos.copy(),
            c.values.copy(),
            c.text,
            c.start_unix_nanos.copy(),
            c.explanation,
        )
        is_virtual = None if self.is_virtual is None else self.is_virtual.copy()
        return Batch(columns, self.value_counts.copy(), self.text_sizes.copy(), is_virtual)

    @property
    def size(self) -> int:
        """Size of all events in the columns, in bytes."""
        c = self.columns
        each = EVENT_COLUMNS_BYTES + (c.explanation.bytes_per_event() if c.explanation else 0)
        return each * len(c.seq) + c.values.nbytes + len(c.text)


_EMPTY = Batch(Columns(_LONG, _LONG, _SHORT, _SHORT, _LONG, _LONG, _LONG, b""), _SHORT, _SHORT)


def empty_batch() -> Batch:
    """Returns a batch without events."""
    return _EMPTY


def joined(batches: Sequence[Batch]) -> Batch:
    """Returns a copy of the events of all batches, one batch after the other."""
    if len(batches) == 1:
        return batches[0].kept()
    return Batch(
        joined_columns([batch.columns for batch in batches]),
        np.concatenate([batch.value_counts for batch in batches]),
        np.concatenate([batch.text_sizes for batch in batches]),
        _joined_flags(batches),
    )


def _joined_flags(batches: Sequence[Batch]) -> Flags | None:
    """Returns `is_virtual` of all batches; false where it is not known, unless it is known of none."""
    if all(batch.is_virtual is None for batch in batches):
        return None
    return np.concatenate(
        [
            np.zeros(len(batch), np.bool_) if batch.is_virtual is None else batch.is_virtual
            for batch in batches
        ]
    )


def joined_columns(columns: Sequence[Columns]) -> Columns:
    """Returns the events of all columns, one after the other."""
    if len(columns) == 1:
        return columns[0]
    if any(len(each.start_unix_nanos) for each in columns):
        columns = [each.with_starts() for each in columns]
    arrays = {name: np.concatenate([getattr(each, name) for each in columns]) for name in (*EACH, "values")}
    explanation = joined_explanations([each.explanation for each in columns], [len(each) for each in columns])
    return Columns(**arrays, text=b"".join([each.text for each in columns]), explanation=explanation)


def merged(batches: Sequence[Batch]) -> Batch:
    """Returns the events of batches, each in the order of its times, in the order of their times. Of equal
    times the earlier batch comes first."""
    batch = joined(batches)
    order = np.argsort(batch.columns.time_unix_nanos, kind="stable")
    c = batch.columns
    counts = batch.value_counts.astype(np.int64)
    # The index here of each value in the result.
    from_start = (np.cumsum(counts) - counts)[order]
    to_start = np.cumsum(counts[order]) - counts[order]
    values = np.repeat(from_start - to_start, counts[order]) + np.arange(len(c.values))
    ends = np.cumsum(batch.text_sizes, dtype=np.int64)
    starts = ends - batch.text_sizes
    spans = zip(starts[order].tolist(), ends[order].tolist(), strict=True)
    return Batch(
        Columns(
            seq=c.seq[order],
            time_unix_nanos=c.time_unix_nanos[order],
            probe=c.probe[order],
            tid=c.tid[order],
            thread=c.thread[order],
            duration_nanos=c.duration_nanos[order],
            values=c.values[values],
            text=b"".join([c.text[a:b] for a, b in spans]) if c.text else b"",
            start_unix_nanos=c.start_unix_nanos[order] if len(c.start_unix_nanos) else _LONG,
            explanation=c.explanation and c.explanation.at(order),
        ),
        batch.value_counts[order],
        batch.text_sizes[order],
        None if batch.is_virtual is None else batch.is_virtual[order],
    )


def with_room(column: npt.NDArray[_Element], size: int, fill: int = 0) -> npt.NDArray[_Element]:
    """Returns a column that has at least `size` elements: itself, or a copy of at least twice the length
    that ends with `fill`."""
    length = len(column)
    if size <= length:
        return column
    return np.pad(column, (0, max(size, 2 * length) - length), constant_values=fill)


def count_ids(counts: U64, ids: U32) -> None:
    """Adds 1 to `counts` for each occurrence of a probe ID. Touches only the range from the lowest to the
    highest ID: a batch has few probes, often one, and the capacity may be large."""
    if len(ids):
        first, last = int(ids.min()), int(ids.max())
        if first == last:
            counts[first] += np.uint64(len(ids))
            return
        found = np.bincount(np.subtract(ids, first, dtype=np.intp))
        counts[first : last + 1] += found.astype(np.uint64)

"""Events as numpy columns: what an EventBatch of the protocol holds, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Element i of each column belongs to event i, but for `values` and `text`; see EventBatch.

    uint64: seq, time_unix_nanos, thread, duration_nanos, values. uint32: probe, tid.
    """

    seq: U64
    time_unix_nanos: U64
    probe: U32
    tid: U32
    thread: U64
    duration_nanos: U64
    values: U64
    text: bytes

    def __len__(self) -> int:
        return len(self.seq)


@dataclass(frozen=True)
class Batch:
    """Columns, and which part of `values` and `text` is whose, so that events can be picked out.

    `value_counts` and `text_sizes` are uint32, one element for each event; sizes in bytes.
    """

    columns: Columns
    value_counts: U32
    text_sizes: U32

    def __len__(self) -> int:
        return len(self.columns)

    def pick(self, wanted: Flags) -> Batch:
        """The events where `wanted`, one bool for each event, is true."""
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
            ),
            self.value_counts[wanted],
            self.text_sizes[wanted],
        )

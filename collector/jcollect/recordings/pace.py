"""Plays a recording at its pace, faster, or as fast as possible."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from jcollect.recordings.pieces import pieces
from jcollect.recordings.reader import RecordedItem
from jcollect.sources.columns import Batch

# Events are delivered together for this time, as a collector does.
_STEP_SECONDS = 0.01
# A longer pause in the recording, such as that between two recordings, is shortened to this.
_MOST_PAUSE_SECONDS = 60.0


def paced(
    items: Iterable[RecordedItem], speed: float | None, wait: Callable[[float], bool]
) -> Iterator[RecordedItem]:
    """Yields the items when they are due: `speed` times as fast as recorded, or at once if it is None.
    Batches are divided. `wait` waits for that many seconds, and returns true to end."""
    begun: float | None = None
    first = 0
    for item in items:
        if not isinstance(item, Batch):
            yield item
            continue
        for piece in pieces(item, None if speed is None else int(_STEP_SECONDS * 1e9 * speed)):
            if speed is not None:
                at, now = int(piece.columns.time_unix_nanos[0]), time.monotonic()
                if begun is None:
                    begun, first = now, at
                due = begun + (at - first) / 1e9 / speed
                if due - now > _MOST_PAUSE_SECONDS:
                    begun -= due - now - _MOST_PAUSE_SECONDS
                    due = now + _MOST_PAUSE_SECONDS
                if due > now and wait(due - now):
                    return
            yield piece

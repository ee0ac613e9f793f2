"""A program that publishes events of one probe into a hub behind the real server, at a given rate, until its
standard input ends. It prints its address, and then the rate that it has reached.

    streaming_server.py FOLDER EVENTS_PER_SECOND HISTORY_BYTES
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path

import numpy as np

from jcollect.hub.accounts import Accounts
from jcollect.hub.hub import Hub
from jcollect.malloc_arenas import limit_arenas
from jcollect.sources.columns import Batch, Columns
from jcollect.start import COLLECT_AFTER_OBJECTS
from list_source import StillCounters
from served import StillSource, described, serving

# The default of attach: the collector counts each of them for each subscriber.
MAX_PROBES = 16_384
# Sizes of batches, as a reader of rings that is delayed now and then makes them.
SIZES = (100, 500, 1000, 1000, 1000, 2000, 10_000)


class Counters(StillCounters):
    """Counts that are quickly read."""

    def __init__(self) -> None:
        super().__init__(0)
        self.none = np.zeros(MAX_PROBES, np.uint64)

    def hits(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return self.none

    def lost(self, stage: object) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return self.none


def batch(first: int, count: int, dice: np.random.Generator) -> Batch:
    """Returns events with a number each."""
    now = np.uint64(time.time_ns())
    columns = Columns(
        np.arange(first, first + count, dtype=np.uint64),
        np.full(count, now),
        np.zeros(count, np.uint32),
        np.full(count, 7, np.uint32),
        np.full(count, 7, np.uint64),
        np.zeros(count, np.uint64),
        dice.integers(0, 1000, count, np.uint64),
        b"",
        np.full(count, now),
    )
    return Batch(columns, np.ones(count, np.uint32), np.zeros(count, np.uint32))


def publish(hub: Hub, rate: int, over: threading.Event) -> float:
    """Publishes until `over`; returns the events per second."""
    dice = np.random.default_rng(1)
    begin, first = time.monotonic(), 0
    while not over.is_set():
        for _ in range(20):
            count = int(dice.choice(SIZES))
            hub.publish(batch(first, count, dice))
            first += count
            time.sleep(max(0.0, begin + first / rate - time.monotonic()))
    return first / (time.monotonic() - begin)


def main() -> None:
    folder, rate, history_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # As the program jcollect does.
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    limit_arenas()
    source = StillSource([])
    source.probes = described(1)
    source.hub = Hub(source.probes, Accounts(MAX_PROBES, [Counters()]), history_bytes=history_bytes)
    over = threading.Event()
    with serving(source, Path(folder)) as address:
        print(address.text, flush=True)
        reached: list[float] = []
        publisher = threading.Thread(target=lambda: reached.append(publish(source.hub, rate, over)))
        publisher.start()
        sys.stdin.read()
        over.set()
        publisher.join()
    print(round(reached[0]), flush=True)


if __name__ == "__main__":
    main()

"""Drains a ring buffer through the decoder, and counts malformed records."""

from __future__ import annotations

from jcollect.layout.drain import Pace
from jcollect.sources.base import ALWAYS, Drainable, Drained, Pause
from jcollect.sources.bpf.ring import Ring
from jcollect.sources.records.decoder import RecordDecoder
from jcollect.sources.records.malformed import MalformedCounts

# Polling interval of the ring buffer in ms. The BPF programs send no wakeups, because the traced thread would
# pay for them. The interval grows while no events arrive: a poll costs about 50 us of CPU.
SHORTEST_PAUSE = 5
LONGEST_PAUSE = 25
# Bytes that a thread which does nothing but fire writes in 1 ms. No pause may be so long that half of the
# ring buffer fills up.
_BYTES_PER_MS = 150_000


class RingReader(Drainable):
    """The reading end of a ring buffer. See Drainable.

    `malformed` counts malformed records.
    """

    def __init__(self, ring: Ring, decoder: RecordDecoder) -> None:
        self.decoder = decoder
        self.malformed = MalformedCounts(decoder)
        self.pause = Pause(SHORTEST_PAUSE, _longest_pause(ring.memory.bytes))
        self._ring = ring

    def drain(self, until: int = ALWAYS) -> Drained:
        return self.malformed.counted(self.decoder.drain(self._ring.memory, until))

    def wait_and_drain(self, window_ns: int, stop: int) -> Drained | None:
        # Waits in native code, without the interpreter's lock.
        pace = Pace(window_ns, *self.pause)
        decoded = self.decoder.wait_and_drain(self._ring.memory, pace, stop)
        return None if decoded is None else self.malformed.counted(decoded)

    @property
    def is_quiet(self) -> bool:
        return not self._ring.used() and not self.decoder.buffered

    @property
    def out_of_order(self) -> int:
        return self.decoder.out_of_order


def _longest_pause(ring_bytes: int) -> int:
    return max(SHORTEST_PAUSE, min(LONGEST_PAUSE, ring_bytes // 2 // _BYTES_PER_MS))

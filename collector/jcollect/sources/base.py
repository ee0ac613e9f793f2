"""The interface of everything that produces events. The hub and all above it know sources by this alone.

A source knows probes by the IDs that the hub has assigned. Times are CLOCK_MONOTONIC in ns, except in
columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.probes.probe import Probe
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.sources.columns import U64, Batch
from jcollect.sources.loss_stage import LossStage as LossStage
from jcollect.sources.recorder import RecorderStatus

# Everything is old enough to be drained.
ALWAYS = (1 << 64) - 1


class Pause(NamedTuple):
    """Shortest and longest interval between two polls of a source, in ms."""

    shortest: int
    longest: int


class Drained(NamedTuple):
    """The result of one drain. `batch` is valid until the next drain of the same source, and its events are
    in the order of their times.

    `lost` events were lost in the collector during this drain: as many sequence numbers are skipped after the
    batch. `more`: another drain brings more events at once. `is_holding`: the source holds events that are
    younger than the drain asked for.
    """

    batch: Batch
    lost: int = 0
    more: bool = False
    is_holding: bool = False


class Counters(Protocol):
    """Counts by probe ID since the source was opened: uint64 arrays, one element for each ID below the
    capacity. They never fall. For any thread."""

    @property
    def name(self) -> str:
        """Name of the source, for messages."""

    @property
    def stages(self) -> Sequence[LossStage]:
        """Stages at which the source can lose events."""

    def lost(self, stage: LossStage) -> U64:
        """Returns the events lost at one of the stages."""

    def hits(self) -> U64:
        """Returns the calls that reached an armed probe, those whose events were lost or are in flight
        included."""


@dataclass(frozen=True)
class SourceStatus:
    """The link type of a source, and its buffer in bytes.

    `recorder` is what it has done as a flight recorder, None if it is none.
    """

    link_type: str
    buffer_bytes: int
    buffer_used_bytes: int
    recorder: RecorderStatus | None = None


class UnusableError(JcollectError):
    """A source cannot be used for the probes of a process. Another source may be."""


class TakenError(UnusableError):
    """Another jcollect uses the source for the process, and only one can."""


class Armed(ABC):
    """Sites of one binary that fire into a source, until `disarm`.

    `point` is the attach point, in bytes from the sites' locations. `closing_seconds` is about how long
    `disarm` will take.
    """

    point: int = 0
    closing_seconds: float = 0.0

    @abstractmethod
    def disarm(self) -> None:
        """Detaches from the sites. When it returns, none of them fires into the source any more. For any
        thread, once."""


class Drainable(ABC):
    """Something to read events from; only one thread at a time may do so."""

    # Polling interval.
    pause: Pause
    # File that becomes readable when events arrive, until the next drain; None if the source has to be
    # polled.
    descriptor: int | None = None

    @property
    def is_quiet(self) -> bool:
        """True if a drain would bring nothing now, as far as that is known for much less than a drain
        costs."""
        return False

    @abstractmethod
    def drain(self, until: int = ALWAYS) -> Drained:
        """Returns the oldest events, at most one batch, none younger than `until`, unless the source has no
        memory left to hold younger ones.

        Raises JcollectError if the source cannot be read any further.
        """

    @abstractmethod
    def wait_and_drain(self, window_ns: int, stop: int) -> Drained | None:
        """Waits for events and drains those older than `window_ns`; returns None as soon as the file `stop`
        is readable.

        Raises JcollectError as `drain` does.
        """

    @property
    @abstractmethod
    def out_of_order(self) -> int:
        """Number of events that were drained after younger ones. For any thread."""


class Source(Drainable):
    """A producer of events, opened when constructed, until `close`.

    Satisfies `Counters`. `describe`, `arm` and `status` are for any thread.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the source, for messages."""

    @abstractmethod
    def describe(self, ids: Sequence[int], probes: Iterable[Probe]) -> None:
        """Makes probes known by their IDs, before they are armed. An ID may have belonged to another probe,
        whose events have all been drained."""

    @property
    def has_sinks(self) -> bool:
        """True if a probe fires into the source only once its agent has turned on its events
        (probes/sinks.py)."""
        return False

    def is_preferred_for(self, probe: Probe) -> bool:
        """Returns true if the source traces this probe at less cost than others."""
        return False

    def follow(self, libraries: Sequence[StubLibrary]) -> None:
        """Takes note of the stub libraries that a process has mapped now. Called before its probes are armed,
        and from time to time."""

    def report_lost(self, ids: npt.NDArray[np.int64], counts: U64) -> None:
        """Takes note of the events of these probes that their process has counted as lost since they were
        first armed."""

    @abstractmethod
    def arm(self, ids: Sequence[int], sites: Sequence[Site]) -> Armed:
        """Attaches to sites of one binary; their events carry these IDs. Raises JcollectError: UnusableError
        if another source may do it."""

    @abstractmethod
    def raise_semaphores(self, sites: Sequence[Site]) -> Armed:
        """Raises the semaphores of sites of one binary until `disarm`, without events or hits. Raises
        JcollectError."""

    @property
    @abstractmethod
    def stages(self) -> Sequence[LossStage]:
        """See Counters."""

    @abstractmethod
    def lost(self, stage: LossStage) -> U64:
        """See Counters."""

    @abstractmethod
    def hits(self) -> U64:
        """See Counters."""

    @abstractmethod
    def status(self) -> SourceStatus:
        """Returns the current state."""

    @abstractmethod
    def close(self) -> None:
        """Frees everything. All sites must be disarmed, and nothing drains it any more. Counts stay
        readable."""

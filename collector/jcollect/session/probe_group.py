"""The traced probes of one binary: armed or not, and what their process reports about them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.probes.direct_site import DirectSink, direct_site
from jcollect.probes.live import Gates, LiveProbe, Suppressed, read_live
from jcollect.probes.probe import Probe, by_library
from jcollect.probes.sections import all_of, read_sections
from jcollect.probes.site import Binary
from jcollect.probes.stub_library import Section
from jcollect.procfs.reasons import is_passing
from jcollect.session.credibility import CheckedCounts, Credibility
from jcollect.session.group_counts import GroupCounts
from jcollect.sources.base import Armed, Source
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Report:
    """The content of the process's memory at one moment: suppressed calls by probe, in rows as in
    live.Suppressed, events that were lost in the rings, and the probes' states."""

    suppressed: npt.NDArray[np.uint64]
    lost: npt.NDArray[np.uint64]
    states: npt.NDArray[np.uint8]

    @property
    def is_retired(self) -> bool:
        """True if all probes are retired."""
        return bool((self.states == probe_pb2.PROBE_STATE_RETIRED).all())

    @property
    def throttled(self) -> npt.NDArray[np.bool_]:
        """Flags of the probes that are throttled."""
        flags: npt.NDArray[np.bool_] = self.states == probe_pb2.PROBE_STATE_THROTTLED
        return flags


class ProbeGroup:
    """The probes of one binary that have IDs, whether or not they are armed.

    Another file may be mapped at the same address by the time the memory is read. A report counts only once
    it is passed to `accept`, and the binary must have been seen mapped after the read. Probes that are not in
    a stub library report nothing: no calls are suppressed, and they are never retired while mapped.

    `source` arms them; it may be changed while they are not armed.

    Only one thread at a time may use it, except for `arm`, `disarm`, `end` and `known`.
    """

    def __init__(
        self,
        ids: Sequence[int],
        probes: Sequence[Probe],
        source: Source,
        credibility: Credibility,
        only_counts: bool = False,
        raising: Source | None = None,
    ) -> None:
        """With `only_counts`, the process counts the calls, and there are no events. `raising` is the source
        that raises semaphores, if that is not `source`."""
        self.probes = probes
        self.binary: Binary = probes[0].site.binary
        self.ids = np.array(ids, np.int64)
        self.is_retired = False
        self.throttled = np.zeros(len(probes), np.bool_)
        self.source = source
        self._raising = raising or source
        self._only_counts = only_counts
        self.calls = GroupCounts(probes, self._raising, credibility, only_counts)
        self._states = [(library, library.image.states) for library, _ in by_library(probes)]
        self._slots = np.array([0 if probe.slot is None else probe.slot.number for probe in probes], np.int64)
        self._gates = Gates(probes)
        self._before = np.zeros((len(probes), len(Suppressed._fields)), np.uint64)
        self._last = self._before
        self._checked = CheckedCounts(len(probes), credibility)
        self._lost_before = np.zeros(len(probes), np.uint64)
        self._checked_lost = CheckedCounts(len(probes), credibility)
        self._armed: Armed | None = None
        self._armed_lock = threading.Lock()
        self._has_ended = False
        self._known: list[LiveProbe] | None = None

    @property
    def is_armed(self) -> bool:
        return self._armed is not None

    @property
    def is_direct(self) -> bool:
        """True if the events of the probes take the direct lane."""
        return self.source.has_sinks and not self._only_counts

    @property
    def attach_point(self) -> int:
        """Attach point of the probes, in bytes from the start of their stubs; 0 if they are not armed."""
        armed = self._armed
        return 0 if armed is None else armed.point

    @property
    def closing_seconds(self) -> float:
        """About how long `disarm` will take."""
        armed = self._armed
        return 0.0 if armed is None else armed.closing_seconds

    @property
    def suppressed(self) -> npt.NDArray[np.uint64]:
        """The calls suppressed since the probes were first armed, in rows as in live.Suppressed, as
        far as the counts are possible."""
        return self._checked.counts

    def calls_of(self, number: int) -> ExponentialHistogram | None:
        """Returns the counted calls of the probe with this ID; None if there are none."""
        if not self.calls.is_counting:
            return None
        (found,) = np.flatnonzero(self.ids == number)
        calls = self.calls.counted[int(found)]
        return calls if calls.count else None

    @property
    def lost(self) -> npt.NDArray[np.uint64]:
        """The events that were lost in the rings since the probes were first armed, as far as the counts are
        possible: uint64."""
        return self._checked_lost.counts[:, 0]

    @property
    def known(self) -> list[LiveProbe]:
        """The probes as the last `refresh` found them; retired if it found nothing."""
        known = self._known
        return self._as_retired() if known is None else known

    def arm(self) -> None:
        """Arms the probes, for the first time or again, and counts from now on. Raises JcollectError."""
        report = self.read()
        if report is not None:
            self._before = report.suppressed - self.suppressed
            self._lost_before = report.lost - self.lost
            self.accept(report)
        armed: Armed | None = self._arm()
        self.calls.begin()
        with self._armed_lock:
            if not self._has_ended:
                self._armed, armed = armed, None
        if armed is not None:
            armed.disarm()

    def _arm(self) -> Armed:
        if not self._only_counts:
            return self.source.arm(self.ids.tolist(), [probe.site for probe in self.probes])
        sites = (direct_site(probe, DirectSink.COUNT) for probe in self.probes)
        return self._raising.raise_semaphores([site for site in sites if site is not None])

    def disarm(self) -> None:
        """Detaches from the binary; what is known about it stays. For any thread."""
        with self._armed_lock:
            armed, self._armed = self._armed, None
        # Without the lock: the kernel may not return, and jcollect has to exit then.
        if armed is not None:
            armed.disarm()

    def end(self) -> None:
        """Detaches permanently: an `arm` that is about to begin does nothing. For any thread."""
        with self._armed_lock:
            self._has_ended = True
        self.disarm()
        self.calls.end()

    def read(self) -> Report | None:
        """Returns None if nothing can be read: the process has exited, or nothing is mapped there."""
        return read_all([self])[0]

    def sections(self) -> list[tuple[Binary, Section]]:
        """Returns the sections that `report` needs, for live.read_sections."""
        return [*self._states, *self._gates.sections]

    def report(self, parts: Sequence[bytes | OSError]) -> Report | None:
        """Returns the report made of the content of `sections`; None as for `read`."""
        try:
            read = all_of(parts)
        except OSError:
            return None
        states, gates = read[: len(self._states)], read[len(self._states) :]
        words = self._gates.words(gates)
        # A probe without a state byte fires whenever a tracer is attached.
        every = np.frombuffer(states[0] if states else bytes([probe_pb2.PROBE_STATE_ARMED]), np.uint8)
        return Report(self._gates.suppressed(words), self._gates.lost(words), every[self._slots])

    def accept(self, report: Report) -> None:
        """Accepts the report as the process's current state."""
        # Subtraction is modulo 2**64: a count that fell becomes an impossibly large one.
        self._checked.accept(report.suppressed - self._before)
        lost = report.lost - self._lost_before
        self._checked_lost.accept(np.stack((lost, 0 * lost, 0 * lost), axis=1))
        self.source.report_lost(self.ids, self.lost)
        self._last = report.suppressed
        self.is_retired = report.is_retired
        self.throttled = report.throttled

    def refresh(self) -> bool:
        """Reads the probes as they are now; returns false where `read` returns None. The last known state
        stays if the process does not answer in time. For any thread."""
        try:
            self._known = read_live(self.probes, self.ids.tolist())
        except OSError as error:
            return is_passing(error)
        return True

    def forget(self) -> None:
        """Records that the binary is not mapped any more."""
        self._known = None

    def _as_retired(self) -> list[LiveProbe]:
        return [
            LiveProbe(
                probe, state=probe_pb2.PROBE_STATE_RETIRED, suppressed=Suppressed(*suppressed), id=number
            )
            for probe, suppressed, number in zip(
                self.probes, self._last.tolist(), self.ids.tolist(), strict=True
            )
        ]


def read_all(groups: Sequence[ProbeGroup]) -> list[Report | None]:
    """Does what `ProbeGroup.read` does for several at once: one request to each process."""
    sections = [each.sections() for each in groups]
    read = read_sections([section for each in sections for section in each])
    starts = np.cumsum([0, *map(len, sections)]).tolist()
    return [
        each.report(read[start : start + len(own)])
        for each, own, start in zip(groups, sections, starts, strict=False)
    ]

"""One stub library that is attached to: its links, and what its process says about its probes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jcollect.probes.live import Gates, LiveProbe, Suppressed, all_of, read_live, read_sections
from jcollect.probes.probe import Probe
from jcollect.probes.stub_library import Section, StubLibrary
from jcollect.procfs.reasons import is_passing
from jcollect.sources.bpf.claims import Claimant, Claims
from jcollect.sources.bpf.links import Linker, Links
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Reading:
    """The state of probes in memory at one moment: rows of live.Suppressed, and the probes' states."""

    held: npt.NDArray[np.uint64]
    states: npt.NDArray[np.uint8]

    @property
    def is_retired(self) -> bool:
        """Whether all probes are."""
        return bool((self.states == probe_pb2.PROBE_STATE_RETIRED).all())

    @property
    def throttled(self) -> npt.NDArray[np.bool_]:
        """Which probes are throttled."""
        flags: npt.NDArray[np.bool_] = self.states == probe_pb2.PROBE_STATE_THROTTLED
        return flags


class Attached:
    """The probes of one library that have ids, whether or not they are still linked.

    Something else may be mapped there by the time the memory is read. So a reading counts only once it is
    passed to `keep`, and the library must have been seen mapped after the read.

    Only one thread at a time may use it, except for the links and `known`.
    """

    def __init__(self, probes: Sequence[Probe], claimant: Claimant) -> None:
        self.probes = probes
        self.library = probes[0].library
        self.ids = np.array([probe.id for probe in probes], np.int64)
        self.is_retired = False
        self._slots = np.array([probe.slot for probe in probes], np.int64)
        self._gates = Gates(probes)
        self._before = np.zeros((len(probes), len(Suppressed._fields)), np.uint64)
        self._held = self._before
        self._claims = Claims(len(probes), claimant)
        self.throttled = np.zeros(len(probes), np.bool_)
        self._links: Links | None = None
        self._links_lock = threading.Lock()
        self._has_ended = False
        self._known: list[LiveProbe] | None = None

    @property
    def is_linked(self) -> bool:
        return self._links is not None

    @property
    def attach_point(self) -> int:
        """Where in its stubs it is linked, in bytes from their start; 0 unless it is."""
        links = self._links
        return 0 if links is None else links.point

    @property
    def closing_seconds(self) -> float:
        """About how long `unlink` will take."""
        links = self._links
        return 0.0 if links is None else links.closing_seconds

    @property
    def held_back(self) -> npt.NDArray[np.uint64]:
        """Returns the plausible counts of calls suppressed since the probes were linked: rows of
        live.Suppressed."""
        return self._claims.counts

    @property
    def known(self) -> list[LiveProbe]:
        """The probes as the last `refresh` found them; retired if it found nothing."""
        known = self._known
        return self._as_retired() if known is None else known

    def link(self, linker: Linker) -> None:
        """Attaches, and counts from now on; it may have been attached before. Raises JcollectError."""
        reading = self.read()
        if reading is not None:
            self._before = reading.held - self.held_back
            self.keep(reading)
        links: Links | None = linker.link(self.probes)
        with self._links_lock:
            if not self._has_ended:
                self._links, links = links, None
        if links is not None:
            links.close()

    def unlink(self) -> None:
        """Detaches from the library; what is known about it stays. For any thread."""
        with self._links_lock:
            links, self._links = self._links, None
        if links is not None:
            links.close()

    def end(self) -> None:
        """Detaches permanently: a `link` that is about to begin does nothing. For any thread."""
        with self._links_lock:
            self._has_ended = True
        self.unlink()

    def read(self) -> Reading | None:
        """None where nothing can be read: the process is gone, or nothing is mapped there any more."""
        return read_all([self])[0]

    def parts(self) -> list[tuple[StubLibrary, Section]]:
        """Returns the sections that `reading` needs, for live.read_sections."""
        return [(self.library, self.library.image.states), *self._gates.sections]

    def reading(self, parts: Sequence[bytes | OSError]) -> Reading | None:
        """Returns the reading made of the content of `parts`; None as for `read`."""
        try:
            states, *gates = all_of(parts)
        except OSError:
            return None
        held = self._gates.suppressed(self._gates.words(gates))
        return Reading(held, np.frombuffer(states, np.uint8)[self._slots])

    def keep(self, reading: Reading) -> None:
        """Accepts the reading as the process's current state."""
        # Subtraction is modulo 2**64: a count that fell becomes an impossibly large one.
        self._claims.take(reading.held - self._before)
        self._held = reading.held
        self.is_retired = reading.is_retired
        self.throttled = reading.throttled

    def refresh(self) -> bool:
        """Reads the probes as they are now; returns false where `read` returns None. The last known state
        stays if the process does not answer in time. For any thread."""
        try:
            self._known = read_live(self.probes)
        except OSError as error:
            return is_passing(error)
        return True

    def forget(self) -> None:
        """Records that the library is mapped no longer."""
        self._known = None

    def _as_retired(self) -> list[LiveProbe]:
        return [
            LiveProbe(probe, state=probe_pb2.PROBE_STATE_RETIRED, suppressed=Suppressed(*held))
            for probe, held in zip(self.probes, self._held.tolist(), strict=True)
        ]


def read_all(attached: Sequence[Attached]) -> list[Reading | None]:
    """Does what `Attached.read` does for several at once: one request to each process."""
    parts = [each.parts() for each in attached]
    read = read_sections([part for each in parts for part in each])
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    return [
        each.reading(read[start : start + len(own)])
        for each, own, start in zip(attached, parts, starts, strict=False)
    ]

"""One stub library that is attached to: its links, and what its process says about its probes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jcollect.attach.claims import Claimant, Claims
from jcollect.attach.links import Linker, Links
from jcollect.discovery.live import Gates, Held, LiveProbe, all_of, read_live, read_sections
from jcollect.discovery.probes import Probe
from jcollect.discovery.stub_library import Section, StubLibrary
from jcollect.procfs.reasons import is_passing
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Reading:
    """What the process's memory said at one moment: what was held back by probe, in rows as live.Held has
    them, and the probes' states."""

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
    """The probes of one library that have ids, linked or not any more.

    A reading may be of memory where something else lies by now. It counts when it is `keep`t, for which
    the library must have been seen mapped after it was read.

    All but the links and what is `known` is for one thread at a time.
    """

    def __init__(self, probes: Sequence[Probe], claimant: Claimant) -> None:
        self.probes = probes
        self.library = probes[0].library
        self.ids = np.array([probe.id for probe in probes], np.int64)
        self.is_retired = False
        self._slots = np.array([probe.slot for probe in probes], np.int64)
        self._gates = Gates(probes)
        self._before = np.zeros((len(probes), len(Held._fields)), np.uint64)
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
        """What was held back since they were linked, in rows as live.Held has them; as far as that is
        possible."""
        return self._claims.counts

    @property
    def known(self) -> list[LiveProbe]:
        """The probes as `refresh` has found them last; as retired where it has found nothing."""
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
        """Detaches for good: who is about to link it does not. For any thread."""
        with self._links_lock:
            self._has_ended = True
        self.unlink()

    def read(self) -> Reading | None:
        """None where nothing can be read: the process is gone, or nothing is mapped there any more."""
        return read_all([self])[0]

    def parts(self) -> list[tuple[StubLibrary, Section]]:
        """What `reading` takes, of live.read_sections."""
        return [(self.library, self.library.image.states), *self._gates.sections]

    def reading(self, parts: Sequence[bytes | OSError]) -> Reading | None:
        """What has been read of `parts`; None as of `read`."""
        try:
            states, *gates = all_of(parts)
        except OSError:
            return None
        held = self._gates.held(self._gates.words(gates))
        return Reading(held, np.frombuffer(states, np.uint8)[self._slots])

    def keep(self, reading: Reading) -> None:
        """Takes it as what the process says by now."""
        # Modulo 2**64: less than there was is more than there can be.
        self._claims.take(reading.held - self._before)
        self._held = reading.held
        self.is_retired = reading.is_retired
        self.throttled = reading.throttled

    def refresh(self) -> bool:
        """Reads the probes as they are now; returns false as `read` returns None. What is known stays where
        the process does not answer in time. For any thread."""
        try:
            self._known = read_live(self.probes)
        except OSError as error:
            return is_passing(error)
        return True

    def forget(self) -> None:
        """Its library is mapped no longer."""
        self._known = None

    def _as_retired(self) -> list[LiveProbe]:
        return [
            LiveProbe(probe, state=probe_pb2.PROBE_STATE_RETIRED, held=Held(*held))
            for probe, held in zip(self.probes, self._held.tolist(), strict=True)
        ]


def read_all(attached: Sequence[Attached]) -> list[Reading | None]:
    """As `Attached.read`, of several at once: one request to each process."""
    parts = [each.parts() for each in attached]
    read = read_sections([part for each in parts for part in each])
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    return [
        each.reading(read[start : start + len(own)])
        for each, own, start in zip(attached, parts, starts, strict=False)
    ]

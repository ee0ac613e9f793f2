"""Reads which sinks of probes are on (sinks in layout/gate.toml), from the memory of their process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jcollect.layout.gate import GATE_PROBE_SINKS, GATE_PROBE_SIZE, GATE_PROBES, GATE_SIZE, SINKS_EVENT
from jcollect.probes.sections import read_section
from jcollect.probes.stub_library import Section, StubLibrary
from jprobe.v1 import probe_pb2

_SINKS_BYTES = 4


class Sinks:
    """The sinks of probes of one stub library, given by their slots."""

    def __init__(self, library: StubLibrary, slots: Sequence[int]) -> None:
        self.library = library
        probes = library.image.manifest.probes
        size = GATE_SIZE * len(library.image.manifest.methods)
        self._section = Section(library.image.gates.address, size)
        offsets = [
            GATE_SIZE * probes[slot].method
            + GATE_PROBES
            + GATE_PROBE_SIZE * (probes[slot].kind - probe_pb2.PROBE_KIND_ENTRY)
            + GATE_PROBE_SINKS
            for slot in slots
        ]
        self._words = np.array(offsets, np.int64) // _SINKS_BYTES

    def read(self) -> npt.NDArray[np.uint32]:
        """Returns the word of each slot. Raises OSError."""
        words: npt.NDArray[np.uint32] = np.frombuffer(read_section(self.library, self._section), "<u4")
        return words[self._words]

    def are_events_on(self) -> npt.NDArray[np.bool_]:
        """Returns for each slot whether its events are written to a ring. Raises OSError."""
        on: npt.NDArray[np.bool_] = (self.read() & SINKS_EVENT) != 0
        return on

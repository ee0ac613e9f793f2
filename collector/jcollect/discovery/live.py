"""What changes about probes, read from the memory of the live process: semaphores, states, gates."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jcollect.discovery.probes import STATE_NAMES, Probe
from jcollect.discovery.stub_library import GATE_BYTES, Section, StubLibrary
from jprobe.v1 import collector_pb2, probe_pb2

# The word of a gate that counts what an entry probe was held back from is 5; return's and throw's follow.
_BEFORE_FILTERED = 5 - probe_pb2.PROBE_KIND_ENTRY


@dataclass(frozen=True)
class LiveProbe:
    """A probe's semaphore, state, and how many calls its condition has held back, at one moment."""

    probe: Probe
    semaphore_count: int = 0
    state: int = 0
    filtered: int = 0

    def message(self) -> collector_pb2.Probe:
        """As the protocol describes it."""
        probe = self.probe
        return collector_pb2.Probe(
            id=probe.id,
            pid=probe.library.pid,
            provider=probe.provider,
            name=probe.name,
            kind=probe_pb2.ProbeKind.Name(probe.kind),
            class_name=probe.class_name,
            class_loader_id=probe.class_loader_id,
            method=probe.method,
            descriptor=probe.descriptor,
            values=probe.values,
            file=probe.library.file,
            location=probe.location,
            semaphore=probe.semaphore,
            semaphore_count=self.semaphore_count,
            state=probe_pb2.ProbeState.Name(self.state),
            condition=probe.condition,
            filtered=self.filtered,
        )


def read_live(probes: Sequence[Probe]) -> list[LiveProbe]:
    """Each probe as it is now, one read for each section.

    Raises OSError as open(2) and pread(2) on /proc/PID/mem do.
    """
    sections: dict[int, tuple[tuple[int, ...], bytes]] = {}
    for library in _libraries(probes):
        sections[id(library)] = _read_sections(library)
    live = []
    for probe, filtered in zip(probes, Gates(probes).filtered().tolist(), strict=True):
        counts, states = sections[id(probe.library)]
        # The semaphore's place is the note's word; it need not be the slot's own.
        index = (probe.semaphore - probe.library.image.semaphores.address) // 2
        count = counts[index] if 0 <= index < len(counts) else 0
        state = states[probe.slot]
        live.append(LiveProbe(probe, count, state if state in STATE_NAMES else 0, filtered))
    return live


def read_states(libraries: Iterable[StubLibrary]) -> list[bytes]:
    """The state bytes of each library, in slot order."""
    return [_read(library, library.image.states) for library in libraries]


class Gates:
    """Where each of some probes has its count of calls held back; see the end of manifest.proto."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._sections = []
        first: dict[int, int] = {}
        words = 0
        for library in _libraries(probes):
            size = GATE_BYTES * len(library.image.manifest.methods)
            self._sections.append((library, Section(library.image.gates.address, size)))
            first[id(library)] = words
            words += size // 8
        self._places = np.array(
            [
                first[id(probe.library)] + GATE_BYTES // 8 * probe.gate + _BEFORE_FILTERED + probe.kind
                for probe in probes
            ],
            np.int64,
        )

    def filtered(self) -> npt.NDArray[np.uint64]:
        """Calls held back since the probe is there, one uint64 for each probe. Raises OSError."""
        words = np.frombuffer(b"".join([_read(*section) for section in self._sections]), "<u8")
        counts: npt.NDArray[np.uint64] = words[self._places]
        return counts


def _libraries(probes: Iterable[Probe]) -> list[StubLibrary]:
    return list({id(probe.library): probe.library for probe in probes}.values())


def _read_sections(library: StubLibrary) -> tuple[tuple[int, ...], bytes]:
    semaphores = _read(library, library.image.semaphores)
    counts = struct.unpack(f"<{len(semaphores) // 2}H", semaphores[: len(semaphores) & ~1])
    return counts, _read(library, library.image.states)


def _read(library: StubLibrary, section: Section) -> bytes:
    """A section as it is in the live process."""
    with open(f"/proc/{library.pid}/mem", "rb", buffering=0) as memory:
        content = os.pread(memory.fileno(), section.size, library.bias + section.address)
    # What the kernel gives of a process that is about to be gone, instead of an error.
    if len(content) < section.size:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return content

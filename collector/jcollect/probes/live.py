"""Reads the changing state of probes from the memory of their process: semaphores, states and gates."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jcollect.layout.gate import (
    GATE_EVERY,
    GATE_LEAST_DURATION,
    GATE_LIMIT,
    GATE_PROBE_FILTERED,
    GATE_PROBE_HISTOGRAM,
    GATE_PROBE_LOST,
    GATE_PROBE_SIZE,
    GATE_PROBE_THROTTLED,
    GATE_PROBES,
    GATE_SIZE,
    GATE_THROTTLED_NANOS,
)
from jcollect.layout.stub_library import SLOT_SEMAPHORE_BYTES
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import MARK, STATE_NAMES, Probe, by_binary, by_library
from jcollect.probes.sections import Part, all_of, read_sections
from jcollect.probes.stub_library import Section, mapped_keys
from jcollect.procfs.process import Process
from jcollect.procfs.reasons import is_passing
from jprobe.v1 import probe_pb2

# Gates are read as arrays of words.
_WORD_BYTES = 8
_SETTINGS = np.array([GATE_LEAST_DURATION, GATE_EVERY, GATE_LIMIT]) // _WORD_BYTES


class Suppressed(NamedTuple):
    """Calls suppressed at a probe since it was created: filtered by its condition or gate, or throttled by
    the agent's guard. `throttled_ns` is the time in ns for which the guard had its method unwoven."""

    filtered: int = 0
    throttled: int = 0
    throttled_ns: int = 0


NOTHING_SUPPRESSED = Suppressed()


class LiveProbe(NamedTuple):
    """A probe at one moment: its semaphore, its state, its suppressed calls, and the settings of its gate
    (layout/gate.toml). `id` is 0 where no hub has assigned one."""

    probe: Probe
    semaphore_count: int = 0
    state: int = 0
    suppressed: Suppressed = NOTHING_SUPPRESSED
    least_duration_nanos: int = 0
    every: int = 0
    per_second: int = 0
    id: int = 0

    def describe(self) -> ProbeDescription:
        """Returns the description that subscribers and clients get."""
        probe = self.probe
        return ProbeDescription(
            id=self.id,
            pid=probe.process.pid,
            provider=probe.provider,
            name=probe.name,
            kind=probe.kind,
            class_name=probe.class_name,
            class_loader_id=probe.class_loader_id,
            method=probe.method,
            method_descriptor=probe.method_descriptor,
            values=probe.values,
            # A path may be no valid UTF-8.
            file=os.fsencode(probe.file).decode(errors="replace"),
            location=probe.site.location,
            semaphore=probe.site.semaphore,
            condition=probe.condition,
            semaphore_count=self.semaphore_count,
            state=self.state,
            filtered=self.suppressed.filtered,
            throttled=self.suppressed.throttled,
            throttled_nanos=self.suppressed.throttled_ns,
            least_duration_nanos=self.least_duration_nanos,
            every=self.every,
            per_second=self.per_second,
        )


def read_live(probes: Sequence[Probe], ids: Sequence[int] | None = None) -> list[LiveProbe]:
    """Returns the current state of each probe, with one read per section. `ids` are those of the probes.

    Raises OSError as open(2) and pread(2) on /proc/PID/mem do, and TimeoutError.
    """
    gates = Gates(probes)
    counts = _SemaphoreCounts(probes)
    libraries = [library for library, _ in by_library(probes)]
    wanted = [*counts.sections, *((library, library.image.states) for library in libraries)]
    read = all_of(read_sections([*wanted, *gates.sections]))
    semaphores = counts.of(read)
    states = {id(library): read[len(counts.sections) + number] for number, library in enumerate(libraries)}
    words = gates.words(read[len(wanted) :])
    live = []
    for probe, number, count, suppressed, (least, every, limit) in zip(
        probes,
        ids or repeat(0, len(probes)),
        semaphores,
        gates.suppressed(words).tolist(),
        gates.settings(words).tolist(),
        strict=True,
    ):
        slot = probe.slot
        # A probe without a state byte fires whenever a tracer is attached.
        state = probe_pb2.PROBE_STATE_ARMED if slot is None else states[id(slot.library)][slot.number]
        state = state if state in STATE_NAMES else 0
        live.append(LiveProbe(probe, count, state, Suppressed(*suppressed), least, every, limit, number))
    return live


def read_mapped(process: Process, probes: Sequence[Probe]) -> list[LiveProbe]:
    """Returns the current state of the probes of a process whose binaries are still mapped, in their order.

    A program may unload classes at any moment, and their stub library with them. The address then belongs to
    nothing, or to something else. Raises OSError as `read_live` does if the process itself cannot be read.
    """
    try:
        live = read_live(probes)
    except OSError as error:
        if is_passing(error):
            raise
        live = []
        for group in by_binary(probes):
            try:
                live += read_live(group)
            except OSError as unmapped:
                if is_passing(unmapped):
                    raise
    # After the reading: otherwise it could be of what was mapped at the address since.
    mapped = mapped_keys(process)
    found = {id(each.probe): each for each in live if each.probe.site.binary.key in mapped}
    return [found[id(probe)] for probe in probes if id(probe) in found]


class _SemaphoreCounts:
    """Reads the semaphores of probes: those of a stub library with one read, others one by one."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.sections: list[Part] = []
        # The section of each probe, and the index of its semaphore in that section.
        self._indices: list[tuple[int, int]] = []
        numbers: dict[int, int] = {}
        for probe in probes:
            binary, semaphore = probe.site.binary, probe.site.semaphore
            if probe.slot is None:
                self._indices.append((len(self.sections) if semaphore else -1, 0))
                self.sections += [(binary, Section(semaphore, SLOT_SEMAPHORE_BYTES))] if semaphore else []
                continue
            every = probe.slot.library.image.semaphores
            number = numbers.setdefault(id(binary), len(self.sections))
            if number == len(self.sections):
                self.sections.append((binary, every))
            # The note gives the semaphore's offset; it need not be the slot's own.
            self._indices.append((number, (semaphore - every.address) // SLOT_SEMAPHORE_BYTES))

    def of(self, read: Sequence[bytes]) -> list[int]:
        """Returns the count of each probe's semaphore; `read` begins with the content of `sections`."""
        counts = [_counts(part) for part in read[: len(self.sections)]]
        return [
            counts[number][index] if number >= 0 and 0 <= index < len(counts[number]) else 0
            for number, index in self._indices
        ]


class Gates:
    """Finds the gate of each probe, and in it the counts of the calls suppressed at that probe.

    A probe without a slot has no gate: all its counts and settings are 0.
    """

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.sections: list[Part] = []
        first: dict[int, int] = {}
        words = 0
        for library, _ in by_library(probes):
            size = GATE_SIZE * len(library.image.manifest.methods)
            self.sections.append((library, Section(library.image.gates.address, size)))
            first[id(library)] = words
            words += size // _WORD_BYTES
        # After the gates of all libraries: a gate of zeros.
        gates = [
            words if slot is None else first[id(slot.library)] + GATE_SIZE // _WORD_BYTES * slot.gate
            for slot in (probe.slot for probe in probes)
        ]
        self._gates = np.array(gates, np.int64)
        # No gate suppresses a mark: its program decides whether it fires.
        self._is_mark = np.array([probe.kind == MARK for probe in probes], np.bool_)
        kinds = np.array([probe.kind for probe in probes], np.int64)
        in_gate = GATE_PROBES + GATE_PROBE_SIZE * (kinds - probe_pb2.PROBE_KIND_ENTRY)
        counts = np.where(self._is_mark, 0, in_gate)
        by_probe = (counts + GATE_PROBE_FILTERED, counts + GATE_PROBE_THROTTLED)
        method = np.full_like(counts, GATE_THROTTLED_NANOS)
        self._histograms = self._gates + (counts + GATE_PROBE_HISTOGRAM) // _WORD_BYTES
        self._lost = self._gates + (counts + GATE_PROBE_LOST) // _WORD_BYTES
        self._suppressed = self._gates[:, None] + np.stack((*by_probe, method), axis=1) // _WORD_BYTES

    def read(self) -> npt.NDArray[np.uint64]:
        """Returns all words of all gates, for the methods below. Raises OSError."""
        return self.words(all_of(read_sections(self.sections)))

    @staticmethod
    def words(read: Iterable[bytes]) -> npt.NDArray[np.uint64]:
        """Returns the words of all gates in the content of `sections`."""
        return np.frombuffer(b"".join([*read, bytes(GATE_SIZE)]), "<u8")

    def suppressed(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Returns the calls suppressed since the probe exists: a row of three uint64 as in `Suppressed` for
        each probe."""
        counts: npt.NDArray[np.uint64] = words[self._suppressed]
        counts[self._is_mark] = 0
        return counts

    def lost(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Returns the events of each probe that found no room in the rings: uint64."""
        found: npt.NDArray[np.uint64] = np.where(self._is_mark, np.uint64(0), words[self._lost])
        return found

    def histograms(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Returns the number of each probe's histogram; -1 for a probe that has none."""
        numbers = (words[self._histograms] >> np.uint64(GATE_PROBE_HISTOGRAM % _WORD_BYTES * 8)) & np.uint64(
            0xFFFFFFFF
        )
        found: npt.NDArray[np.int64] = np.where(self._is_mark, 0, numbers.astype(np.int64)) - 1
        return found

    def settings(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Returns the minimum duration in ns, every, and per second: three uint64 for each probe."""
        found: npt.NDArray[np.uint64] = words[self._gates[:, None] + _SETTINGS]
        return found


def not_retired(probes: Sequence[Probe]) -> list[Probe]:
    """Returns the probes that may still fire; none of a stub library that is unmapped or cannot be read."""
    libraries = [library for library, _ in by_library(probes)]
    retired: set[tuple[int, int]] = set()
    every = read_sections([(library, library.image.states) for library in libraries])
    for library, states in zip(libraries, every, strict=True):
        if isinstance(states, OSError):
            states = bytes([probe_pb2.PROBE_STATE_RETIRED]) * library.image.states.size
        retired.update(
            (id(library), slot) for slot, state in enumerate(states) if state == probe_pb2.PROBE_STATE_RETIRED
        )
    return [
        probe
        for probe in probes
        if probe.slot is None or (id(probe.slot.library), probe.slot.number) not in retired
    ]


def _counts(semaphores: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(semaphores) // SLOT_SEMAPHORE_BYTES}H", semaphores)

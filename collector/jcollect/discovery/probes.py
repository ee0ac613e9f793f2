"""Probes as the collector knows them: immutable, with ids, ready to attach, list or describe."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jcollect.discovery.globs import matcher
from jcollect.discovery.stub_library import SLOT_BYTES, Section, StubLibrary
from jprobe.v1 import collector_pb2, manifest_pb2, probe_pb2

MAX_WORDS = 12

ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW
KIND_NAMES: dict[int, str] = {ENTRY: "entry", RETURN: "return", THROW: "throw"}
STATE_NAMES: dict[int, str] = {
    number: name.removeprefix("PROBE_STATE_").lower() for name, number in probe_pb2.ProbeState.items()
}

_EXCEPTION = probe_pb2.Value(name="exception", java_type="java.lang.String", type=probe_pb2.VALUE_TYPE_STRING)


@dataclass(frozen=True)
class Probe:
    """One probe of one process. `location` and `semaphore` are file offsets in its library, in bytes.

    The words that the stub passes, by kind (contract 2 of the design):
    entry: the values, the Java thread id. return: duration, the value or 0 for void, thread id.
    throw: duration, the exception's class name, thread id.
    """

    id: int
    library: StubLibrary
    slot: int
    provider: str
    name: str
    kind: int
    class_name: str
    class_loader_id: int
    method: str
    descriptor: str
    values: tuple[probe_pb2.Value, ...]
    location: int
    semaphore: int

    @property
    def words(self) -> int:
        """Number of words that the stub passes."""
        return len(self.values) + 1 if self.kind == ENTRY else 3

    @property
    def first_value(self) -> int:
        """Index of the word that holds the first value."""
        return 0 if self.kind == ENTRY else 1

    @property
    def string_mask(self) -> int:
        """Bit i is set if word i is a pointer to a string."""
        return sum(
            1 << self.first_value + i
            for i, value in enumerate(self.values)
            if value.type == probe_pb2.VALUE_TYPE_STRING
        )

    @property
    def method_key(self) -> tuple[str, int, str, str]:
        """The same for the probes of one method, different for those of others."""
        return (self.class_name, self.class_loader_id, self.method, self.descriptor)


@dataclass(frozen=True)
class LiveProbe:
    """A probe's semaphore and state at one moment."""

    probe: Probe
    semaphore_count: int
    state: int

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
        )


def probes_of(libraries: Iterable[StubLibrary]) -> list[Probe]:
    """All probes, sorted by class, method and slot, with ids from 0 in that order."""
    unsorted = [probe for library in libraries for probe in _probes_of_one(library)]
    unsorted.sort(
        key=lambda p: (p.class_name, p.class_loader_id, p.library.image.manifest.generation, p.slot)
    )
    return [_with_id(probe, number) for number, probe in enumerate(unsorted)]


def narrow(probes: Sequence[Probe], globs: Iterable[str]) -> list[Probe]:
    """Those that the globs mean, numbered anew from 0."""
    is_meant = matcher(globs)
    return [_with_id(probe, number) for number, probe in enumerate(filter(is_meant, probes))]


def _with_id(probe: Probe, number: int) -> Probe:
    # dataclasses.replace calls __init__ with 13 keywords: 4 times as slow for thousands of probes.
    copy = object.__new__(Probe)
    copy.__dict__.update(probe.__dict__)
    copy.__dict__["id"] = number
    return copy


def _probes_of_one(library: StubLibrary) -> Iterable[Probe]:
    image = library.image
    # By location and not by order; where two notes name one stub, the first counts.
    notes = {note.location: note for note in reversed(image.notes)}
    for slot, entry in enumerate(image.manifest.probes):
        location = image.text.address + SLOT_BYTES * slot
        note = notes.get(location)
        if note is None:
            continue
        method = image.manifest.methods[entry.method]
        values = _values(method, entry.kind)
        if len(values) + 1 > MAX_WORDS:
            continue
        yield Probe(
            id=0,
            library=library,
            slot=slot,
            provider=note.provider,
            name=note.name,
            kind=entry.kind,
            class_name=method.class_name,
            class_loader_id=method.class_loader_id,
            method=method.method,
            descriptor=method.descriptor,
            values=values,
            location=location,
            semaphore=note.semaphore,
        )


def _values(method: manifest_pb2.TracedMethod, kind: int) -> tuple[probe_pb2.Value, ...]:
    if kind == ENTRY:
        return tuple(method.arguments)
    if kind == THROW:
        return (_EXCEPTION,)
    return (method.return_value,) if method.HasField("return_value") else ()


def read_live(probes: Sequence[Probe]) -> list[LiveProbe]:
    """Semaphores and states from the memory of the live process, one read for each section.

    Raises OSError as open(2) and pread(2) on /proc/PID/mem do.
    """
    sections: dict[int, tuple[tuple[int, ...], bytes]] = {}
    for library in {id(probe.library): probe.library for probe in probes}.values():
        sections[id(library)] = _read_sections(library)
    live = []
    for probe in probes:
        counts, states = sections[id(probe.library)]
        # The semaphore's place is the note's word; it need not be the slot's own.
        index = (probe.semaphore - probe.library.image.semaphores.address) // 2
        count = counts[index] if 0 <= index < len(counts) else 0
        state = states[probe.slot]
        live.append(LiveProbe(probe, count, state if state in STATE_NAMES else 0))
    return live


def read_states(libraries: Iterable[StubLibrary]) -> list[bytes]:
    """The state bytes of each library, in slot order."""
    return [_read(library, library.image.states) for library in libraries]


def _read_sections(library: StubLibrary) -> tuple[tuple[int, ...], bytes]:
    semaphores = _read(library, library.image.semaphores)
    counts = struct.unpack(f"<{len(semaphores) // 2}H", semaphores[: len(semaphores) & ~1])
    return counts, _read(library, library.image.states)


def _read(library: StubLibrary, section: Section) -> bytes:
    """A section as it is in the live process."""
    with open(f"/proc/{library.pid}/mem", "rb", buffering=0) as memory:
        return os.pread(memory.fileno(), section.size, library.bias + section.address)

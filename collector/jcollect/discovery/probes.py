"""Probes as the collector knows them: immutable, with ids, ready to attach, list or describe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jcollect.discovery.globs import matcher
from jcollect.discovery.stub_library import SLOT_BYTES, StubLibrary
from jprobe.v1 import probe_pb2

MAX_WORDS = 13

ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW
KIND_NAMES: dict[int, str] = {ENTRY: "entry", RETURN: "return", THROW: "throw"}
STATE_NAMES: dict[int, str] = {
    number: name.removeprefix("PROBE_STATE_").lower() for name, number in probe_pb2.ProbeState.items()
}


@dataclass(frozen=True)
class Probe:
    """One probe of one process. `location` and `semaphore` are file offsets in its library, in bytes.

    `slot` and `gate` are its places in the library. The words that the stub passes, by kind (Slot in
    manifest.proto): entry: the values, the Java thread id. return and throw: duration, the values or
    a 0 where there are none, thread id.
    """

    id: int
    library: StubLibrary
    slot: int
    gate: int
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
    condition: str

    @property
    def words(self) -> int:
        """Number of words that the stub passes."""
        return _words(self.kind, len(self.values))

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
    # dataclasses.replace calls __init__ with 15 keywords: 4 times as slow for thousands of probes.
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
        if _words(entry.kind, len(entry.values)) > MAX_WORDS:
            continue
        yield Probe(
            id=0,
            library=library,
            slot=slot,
            gate=entry.method,
            provider=note.provider,
            name=note.name,
            kind=entry.kind,
            class_name=method.class_name,
            class_loader_id=method.class_loader_id,
            method=method.method,
            descriptor=method.descriptor,
            values=tuple(entry.values),
            location=location,
            semaphore=note.semaphore,
            condition=method.condition,
        )


def _words(kind: int, values: int) -> int:
    return values + 1 if kind == ENTRY else 2 + max(values, 1)

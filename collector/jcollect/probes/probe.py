"""Probes as the collector knows them: immutable, with ids, ready to attach, list or describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from jcollect.layout.stub_library import SLOT_BYTES
from jcollect.probes.globs import matcher
from jcollect.probes.stub_library import TIMED_KINDS as TIMED_KINDS
from jcollect.probes.stub_library import StubLibrary, words_of
from jprobe.v1 import probe_pb2

ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW
MARK = probe_pb2.PROBE_KIND_MARK
LIMIT = probe_pb2.PROBE_KIND_LIMIT
KIND_NAMES: dict[int, str] = {ENTRY: "entry", RETURN: "return", THROW: "throw", MARK: "mark"}
STATE_NAMES: dict[int, str] = {
    number: name.removeprefix("PROBE_STATE_").lower() for name, number in probe_pb2.ProbeState.items()
}


@dataclass(frozen=True)
class Probe:
    """One probe of one process. `location` and `semaphore` are file offsets in its library, in bytes.

    `slot` and `gate` are its places in the library. The words that the stub passes, by kind (Slot in
    manifest.proto): entry and mark: the values, the Java thread id. return and throw: duration, the
    values or a 0 where there are none, thread id.
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
    selector: str

    @property
    def words(self) -> int:
        """Number of words that the stub passes."""
        return words_of(self.kind, len(self.values))

    @property
    def first_value(self) -> int:
        """Index of the word that holds the first value."""
        return 1 if self.kind in TIMED_KINDS else 0

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


Wanted = Callable[[Probe], bool]


def probes_of(libraries: Iterable[StubLibrary]) -> list[Probe]:
    """All probes that can fire, sorted by class, method and slot, with ids from 0 in that order."""
    unsorted = [probe for library in libraries for probe in _probes_of_one(library) if probe.kind != LIMIT]
    unsorted.sort(
        key=lambda p: (p.class_name, p.class_loader_id, p.library.image.manifest.generation, p.slot)
    )
    for number, probe in enumerate(unsorted):
        probe.__dict__["id"] = number  # Nobody else has it yet.
    return unsorted


def limits_of(library: StubLibrary) -> dict[int, Probe]:
    """The probes by which its agent is asked to keep to a limit, by their percentage of a core."""
    slots = library.image.manifest.probes
    return {slots[probe.slot].percent: probe for probe in _probes_of_one(library) if probe.kind == LIMIT}


def by_library(probes: Iterable[Probe]) -> list[list[Probe]]:
    """The probes of each library, in their order."""
    groups: dict[int, list[Probe]] = {}
    for probe in probes:
        groups.setdefault(id(probe.library), []).append(probe)
    return list(groups.values())


def narrow(probes: Sequence[Probe], globs: Iterable[str]) -> list[Probe]:
    """Those that the globs mean, numbered anew from 0."""
    return numbered(filter(matcher(globs), probes), 0)


def numbered(probes: Iterable[Probe], first: int) -> list[Probe]:
    """The same with ids from `first` on."""
    return with_ids(probes, count(first))


def with_ids(probes: Iterable[Probe], ids: Iterable[int]) -> list[Probe]:
    """The same with those ids, as many as there are of both."""
    return [_with_id(probe, number) for probe, number in zip(probes, ids, strict=False)]


def _with_id(probe: Probe, number: int) -> Probe:
    # dataclasses.replace calls __init__ with 15 keywords: 4 times as slow for thousands of probes.
    copy = object.__new__(Probe)
    copy.__dict__.update(probe.__dict__)
    copy.__dict__["id"] = number
    return copy


def _probes_of_one(library: StubLibrary) -> Iterable[Probe]:
    image = library.image
    # By location and not by order.
    notes = {note.location: note for note in image.notes}
    selectors = list(image.manifest.selectors)
    # Each name once: the messages make a new one whenever they are asked.
    methods = [
        (
            method.class_name,
            method.class_loader_id,
            method.method,
            method.descriptor,
            method.condition,
            # The one that has decided on it; empty where the program makes its probes itself.
            selectors[method.selector] if method.selector < len(selectors) else "",
        )
        for method in image.manifest.methods
    ]
    for slot, entry in enumerate(image.manifest.probes):
        location = image.text.address + SLOT_BYTES * slot
        note = notes.get(location)
        if note is None or slot in image.faulty_slots:
            continue
        kind, gate, values = entry.kind, entry.method, tuple(entry.values)
        class_name, class_loader_id, method_name, descriptor, condition, selector = methods[gate]
        yield _fresh(
            id=0,
            library=library,
            slot=slot,
            gate=gate,
            provider=note.provider,
            name=note.name,
            kind=kind,
            class_name=class_name,
            class_loader_id=class_loader_id,
            method=method_name,
            descriptor=descriptor,
            values=values,
            location=location,
            semaphore=note.semaphore,
            condition=condition,
            selector=selector,
        )


def _fresh(**fields: object) -> Probe:
    # A frozen dataclass' own __init__ sets them one by one: 3 times as slow for thousands of probes.
    probe = object.__new__(Probe)
    probe.__dict__.update(fields)
    return probe

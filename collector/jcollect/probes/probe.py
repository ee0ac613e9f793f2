"""Probes as the collector knows them: where to attach, and what an event there means. Immutable.

IDs are not here: the hub assigns them (hub/ids.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from jcollect.layout.stub_library import SLOT_BYTES
from jcollect.limits import MAX_OWNERS
from jcollect.probes.globs import is_name_of_mounts, is_of_mounts, matcher
from jcollect.probes.site import Site, group_by_binary
from jcollect.probes.stub_library import TIMED_KINDS as TIMED_KINDS
from jcollect.probes.stub_library import StubLibrary, words_of
from jcollect.procfs.process import Process
from jprobe.v1 import manifest_pb2, probe_pb2

ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW
MARK = probe_pb2.PROBE_KIND_MARK
LIMIT = probe_pb2.PROBE_KIND_LIMIT
KIND_NAMES: dict[int, str] = {ENTRY: "entry", RETURN: "return", THROW: "throw", MARK: "mark"}
STATE_NAMES: dict[int, str] = {
    number: name.removeprefix("PROBE_STATE_").lower() for name, number in probe_pb2.ProbeState.items()
}
# Class name, number of the class loader, method name and descriptor.
MethodKey = tuple[str, int, str, str]


class Slot(NamedTuple):
    """A probe's entry in a stub library, where its state and its gate can be read."""

    library: StubLibrary
    number: int
    gate: int


class Probe(NamedTuple):
    """One probe of one process.

    The words that its site passes, by kind (Slot in manifest.proto): entry and mark: the values, the Java
    thread ID. return and throw: duration, the values or a 0 where there are none, thread ID. A probe without
    a slot is not in a stub library: it has no state and no gate, and passes no thread ID.
    """

    site: Site
    slot: Slot | None
    provider: str
    name: str
    kind: int
    class_name: str
    class_loader_id: int
    method: str
    method_descriptor: str
    values: tuple[probe_pb2.Value, ...]
    condition: str = ""
    selector: str = ""
    # Numbers of the owners of selectors that had selected it when it was published.
    owners: tuple[int, ...] = ()

    @property
    def process(self) -> Process:
        return self.site.binary.process

    @property
    def file(self) -> str:
        """Path of the file for display."""
        return self.site.binary.file

    @property
    def is_agents(self) -> bool:
        """True if an agent made the probe, and false if the program did."""
        return self.slot is not None and self.slot.library.is_agents

    @property
    def first_value(self) -> int:
        """Index of the word that holds the first value."""
        return _first_value(self.kind)

    @property
    def method_key(self) -> MethodKey:
        """Identifies the method: equal for all probes of one method."""
        return (self.class_name, self.class_loader_id, self.method, self.method_descriptor)

    @property
    def set_id(self) -> str:
        """The agent's name for the probe's set, "generation:index": a method has one set of probes for each
        way in which it is selected. Empty for a probe without a slot."""
        if self.slot is None:
            return ""
        return f"{self.slot.library.image.manifest.generation}:{self.slot.gate}"


Wanted = Callable[[Probe], bool]


def is_mark(probe: Probe) -> bool:
    """Returns true for a USDT probe of a program that does not know of jprobe."""
    return probe.slot is None


def probes_of(libraries: Iterable[StubLibrary]) -> list[Probe]:
    """Returns all probes that can fire, sorted by class, generation and slot. Those of `mounts_of` are left
    out: they are traced only if they are asked for."""
    found: list[Probe] = []
    # The sort is stable, and each library yields its probes by slot.
    for library in sorted(libraries, key=lambda library: library.image.manifest.generation):
        found += [
            probe
            for _, probe in _probes_of_one(library)
            if probe.kind != LIMIT and not _is_mount(library, probe)
        ]
    found.sort(key=attrgetter("class_name", "class_loader_id"))
    return found


def limits_of(library: StubLibrary) -> dict[int, Probe]:
    """Returns the probes that request a limit from the agent, by percentage of a core."""
    slots = library.image.manifest.probes
    return {slots[number].percent: probe for number, probe in _probes_of_one(library) if probe.kind == LIMIT}


def mounts_of(libraries: Iterable[StubLibrary]) -> list[Probe]:
    """Returns the probes at which agents report mounts and unmounts of virtual threads."""
    return [
        probe
        for library in libraries
        if _has_own(library)
        for _, probe in _probes_of_one(library)
        if _is_mount(library, probe)
    ]


def by_binary(probes: Iterable[Probe]) -> list[list[Probe]]:
    """Returns the probes of each binary, in their order."""
    return group_by_binary(probes, lambda probe: probe.site.binary)


def by_library(probes: Iterable[Probe]) -> list[tuple[StubLibrary, list[Probe]]]:
    """Returns each stub library with its probes, in their order. Omits probes without a slot."""
    groups = by_binary(probe for probe in probes if probe.slot is not None)
    return [(group[0].slot.library, group) for group in groups if group[0].slot is not None]


def narrow(probes: Sequence[Probe], globs: Iterable[str]) -> list[Probe]:
    """Returns the probes that match the globs."""
    return list(filter(matcher(globs), probes))


def method_key(method: manifest_pb2.TracedMethod) -> MethodKey:
    """Returns what Probe.method_key returns for the method's probes."""
    return (method.class_name, method.class_loader_id, method.method, method.method_descriptor)


def traceable_slots(library: StubLibrary) -> Iterator[tuple[int, manifest_pb2.Slot]]:
    """Yields the slots of the probes that `probes_of` returns, by number. Counting them this way is much
    cheaper."""
    image = library.image
    has_own = _has_own(library)
    noted = {note.location: note for note in image.notes}
    for number, slot in enumerate(image.manifest.probes):
        note = noted.get(image.text.address + SLOT_BYTES * number)
        if note is None or number in image.faulty_slots or slot.kind == LIMIT:
            continue
        if not (has_own and slot.kind == MARK and is_name_of_mounts(note.provider, note.name)):
            yield number, slot


def _has_own(library: StubLibrary) -> bool:
    """Returns true for the first library of an agent, which has the probes of the agent's own."""
    probes = library.image.manifest.probes
    return library.is_agents and len(probes) > 0 and probes[0].kind == LIMIT


def _is_mount(library: StubLibrary, probe: Probe) -> bool:
    return probe.kind == MARK and is_of_mounts(probe) and _has_own(library)


def _first_value(kind: int) -> int:
    return 1 if kind in TIMED_KINDS else 0


def _string_mask(kind: int, values: Sequence[probe_pb2.Value]) -> int:
    """Returns the mask of the words that are pointers to strings."""
    mask = 0
    if not values:
        return mask
    for word, value in enumerate(values, _first_value(kind)):
        if value.type == probe_pb2.VALUE_TYPE_STRING:
            mask |= 1 << word
    return mask


def _probes_of_one(library: StubLibrary) -> Iterable[tuple[int, Probe]]:
    """Yields each probe with the number of its slot."""
    image = library.image
    # Finds notes by their location, because their order may differ.
    notes = {note.location: note for note in image.notes}
    selectors = list(image.manifest.selectors)
    # Each name once: the messages make a new one at every access.
    methods = [
        (
            method.class_name,
            method.class_loader_id,
            method.method,
            method.method_descriptor,
            method.condition,
            # The selector that chose the method; empty for user-defined probes.
            selectors[method.selector] if method.selector < len(selectors) else "",
            tuple(islice(method.owners, MAX_OWNERS)),
        )
        for method in image.manifest.methods
    ]
    for number, entry in enumerate(image.manifest.probes):
        location = image.text.address + SLOT_BYTES * number
        note = notes.get(location)
        if note is None or number in image.faulty_slots:
            continue
        kind, gate, values = entry.kind, entry.method, tuple(entry.values)
        class_name, class_loader_id, method_name, descriptor, condition, selector, owners = methods[gate]
        words = words_of(kind, len(values))
        yield (
            number,
            Probe(
                Site(
                    library,
                    location,
                    note.semaphore,
                    words,
                    _string_mask(kind, values),
                    True,
                    kind in TIMED_KINDS,
                ),
                Slot(library, number, gate),
                note.provider,
                note.name,
                kind,
                class_name,
                class_loader_id,
                method_name,
                descriptor,
                values,
                condition,
                selector,
                owners,
            ),
        )

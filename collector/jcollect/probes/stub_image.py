"""Parses stub libraries: what the agent has written about its probes (layout/stub_library.toml).

This module handles the bytes of the file; stub_library.py handles where it is mapped. In a stub library,
link-time address and file offset are equal everywhere, so one number serves as both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jcollect.layout.gate import GATE_SIZE
from jcollect.layout.record import WORDS_MAX
from jcollect.layout.stub_library import (
    DIRECT_SEMAPHORES_SIZE,
    SECTION_DIRECT,
    SECTION_GATES,
    SECTION_MANIFEST,
    SECTION_NOTES,
    SECTION_SEMAPHORES,
    SECTION_STATES,
    SECTION_STUBS,
    SLOT_BYTES,
    SLOT_SEMAPHORE_BYTES,
    SLOT_STATE_BYTES,
)
from jcollect.limits import MAX_DESCRIPTION_BYTES, MAX_PROBE_DESCRIPTION_BYTES
from jcollect.probes.elf import SectionHeader, is_of_this_machine, read_sections
from jcollect.probes.faults import Faults
from jcollect.probes.malformed import MalformedLibraryError
from jcollect.probes.manifest import Elements, decode_manifest
from jcollect.probes.usdt_notes import Note, parse_notes
from jprobe.v1 import manifest_pb2, probe_pb2

# Measured sizes: of a decoded element without its texts; of a Probe, its note and its entry in lists.
_ELEMENT_BYTES = 70
_PROBE_BYTES = 2500

_KINDS = frozenset(probe_pb2.ProbeKind.values()) - {probe_pb2.PROBE_KIND_UNSPECIFIED}
# Kinds whose first argument is a duration.
TIMED_KINDS = (probe_pb2.PROBE_KIND_RETURN, probe_pb2.PROBE_KIND_THROW)


@dataclass(frozen=True)
class Section:
    """A part of a stub library: file offset (also the link-time address) and size in bytes."""

    address: int
    size: int


@dataclass(frozen=True)
class StubImage:
    """The contents of a stub library, independent of its mapping."""

    manifest: manifest_pb2.Manifest
    text: Section
    semaphores: Section
    direct: Section
    states: Section
    gates: Section
    # Notes of the probes that can be attached to.
    notes: tuple[Note, ...]
    # Slots of the probes that are skipped.
    faulty_slots: frozenset[int]
    faults: Faults
    # False for the library of an emulated program.
    is_of_this_machine: bool
    # Upper estimate of its size in memory with its probes, in bytes.
    weight: int


def parse_stub_image(content: bytes) -> StubImage:
    """Parses the bytes of a stub library. Raises MalformedLibraryError for anything else."""
    sections = read_sections(content)
    manifest_bytes = _bytes_of(content, sections, SECTION_MANIFEST)
    faults = Faults()
    manifest, elements = decode_manifest(manifest_bytes)
    # A library without probes may have no notes.
    note_bytes = _bytes_of(content, sections, SECTION_NOTES) if SECTION_NOTES in sections else b""
    slots, methods = len(elements.probes), len(elements.methods)
    text = _array(sections, SECTION_STUBS, SLOT_BYTES, slots, "probes")
    semaphores = _array(sections, SECTION_SEMAPHORES, SLOT_SEMAPHORE_BYTES, slots, "probes")
    if semaphores.address % SLOT_SEMAPHORE_BYTES:
        raise MalformedLibraryError(f"its section {SECTION_SEMAPHORES} is at an odd address")
    notes = _sound_notes(list(parse_notes(note_bytes, faults)), text, semaphores, faults)
    return StubImage(
        manifest=manifest,
        text=text,
        semaphores=semaphores,
        direct=_array(sections, SECTION_DIRECT, DIRECT_SEMAPHORES_SIZE, slots, "probes"),
        states=_array(sections, SECTION_STATES, SLOT_STATE_BYTES, slots, "probes"),
        gates=_array(sections, SECTION_GATES, GATE_SIZE, methods, "methods"),
        notes=tuple(notes),
        faulty_slots=frozenset(_faulty_slots(manifest, elements, notes, text, faults)),
        faults=faults,
        is_of_this_machine=is_of_this_machine(content),
        weight=len(manifest_bytes) + len(note_bytes) + _ELEMENT_BYTES * elements.total + _PROBE_BYTES * slots,
    )


def _section(sections: dict[str, SectionHeader], name: str) -> SectionHeader:
    section = sections.get(name)
    if section is None:
        raise MalformedLibraryError(f"it has no section {name}")
    return section


def _bytes_of(content: bytes, sections: dict[str, SectionHeader], name: str) -> bytes:
    section = _section(sections, name)
    return content[section.offset : section.offset + section.size]


def _array(sections: dict[str, SectionHeader], name: str, size: int, count: int, what: str) -> Section:
    """Returns the part of a section that holds `count` elements of `size` bytes."""
    section = _section(sections, name)
    if section.size < count * size:
        raise MalformedLibraryError(f"its section {name} is too small for {count} {what}")
    if section.address != section.offset:
        raise MalformedLibraryError(f"its section {name} has an address that differs from its file offset")
    return Section(section.address, count * size)


def _sound_notes(notes: list[Note], text: Section, semaphores: Section, faults: Faults) -> list[Note]:
    """Returns the notes whose offsets are those of a stub and a semaphore, because the kernel gets them. Of
    several notes with the same stub or name, returns the one with the first stub."""
    if not notes:
        return notes
    locations, semaphore_addresses, providers, names, _ = zip(*notes, strict=True)
    at_stubs = _are_elements(locations, text, SLOT_BYTES)
    at_semaphores = _are_elements(semaphore_addresses, semaphores, SLOT_SEMAPHORE_BYTES)
    if (
        all(at_stubs)
        and all(at_semaphores)
        and len(set(locations)) == len(notes)
        and len(set(zip(providers, names, strict=True))) == len(notes)
    ):
        return notes
    sound: list[Note] = []
    known_locations: set[int] = set()
    known_names: set[tuple[str, str]] = set()
    for i in sorted(range(len(notes)), key=lambda i: locations[i]):
        note = notes[i]
        if not at_stubs[i]:
            reason = "its location is not that of a stub"
        elif not at_semaphores[i]:
            reason = "its semaphore is not in .probes"
        elif note.location in known_locations:
            reason = "another probe is at the same stub"
        elif (note.provider, note.name) in known_names:
            reason = "another probe of its library has the same name"
        else:
            known_locations.add(note.location)
            known_names.add((note.provider, note.name))
            sound.append(note)
            continue
        faults.add(f"{note.provider}:{note.name}", reason)
    return sound


def _are_elements(addresses: Sequence[int], section: Section, size: int) -> list[bool]:
    start, end = section.address, section.address + section.size
    return [start <= address < end and not (address - start) % size for address in addresses]


def words_of(kind: int, values: int) -> int:
    """Returns the number of words that a stub passes, by the kind of its probe and its number of values."""
    return 2 + max(values, 1) if kind in TIMED_KINDS else values + 1


def _faulty_slots(
    manifest: manifest_pb2.Manifest, elements: Elements, notes: list[Note], text: Section, faults: Faults
) -> Iterator[int]:
    methods = len(elements.methods)
    by_location = {note.location: note for note in notes}
    described = 0
    for number, (slot, size) in enumerate(zip(manifest.probes, elements.probes, strict=True)):
        method, kind = slot.method, slot.kind
        if number in elements.undecoded_probes:
            reason = "its entry in the manifest cannot be decoded"
        elif method >= methods:
            reason = f"it refers to method {method}, which is not there"
        elif method in elements.undecoded_methods:
            reason = "its method's entry in the manifest cannot be decoded"
        elif kind not in _KINDS:
            reason = f"it has the unknown kind {kind}"
        elif words_of(kind, len(slot.values)) > WORDS_MAX:
            reason = f"its stub passes more than {WORDS_MAX} words"
        elif size + elements.methods[method] > MAX_PROBE_DESCRIPTION_BYTES:
            reason = f"it takes more than {MAX_PROBE_DESCRIPTION_BYTES:,} bytes to describe"
        else:
            described += size + elements.methods[method]
            continue
        note = by_location.get(text.address + SLOT_BYTES * number)
        faults.add(f"{note.provider}:{note.name}" if note else f"of stub {number}", reason)
        yield number
    if described > MAX_DESCRIPTION_BYTES:
        raise MalformedLibraryError(f"its probes take {described:,} bytes to describe")

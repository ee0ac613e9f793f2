"""Finds and reads stub libraries: what the agent has written about its probes (contract 1 of the design).

Here is the file as it is mapped; what becomes of it as probes is in probes.py. In a stub library
link-time address and file offset are the same everywhere, so one number serves as both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jcollect.discovery.elf import SectionHeader, read_sections
from jcollect.discovery.limits import MAX_DESCRIPTION_BYTES, MAX_LIBRARY_BYTES
from jcollect.discovery.malformed import MalformedLibraryError as MalformedLibraryError
from jcollect.discovery.manifest import Elements, decode_manifest
from jcollect.discovery.mapped_file import MappedFiles
from jcollect.discovery.maps import Mapping, Place, read_maps
from jcollect.discovery.usdt_notes import Note, parse_notes
from jprobe.v1 import manifest_pb2, probe_pb2

SLOT_BYTES = 32
SEMAPHORE_BYTES = 2
GATE_BYTES = 192

# <any directory>/jprobe-<pid>[-<n>]/<generation>.so, or the memfd jprobe-<generation>. The PID in the
# name is the one inside the target's PID namespace, so it says nothing here.
_PATH = re.compile(r".*/jprobe-\d+(-\d+)?/\d+\.so|/memfd:jprobe-\d+")
_IN_EVERY_PATH = b"jprobe-"


# Measured: a decoded element without its texts; a Probe, its note, and what is made of them to list it.
_ELEMENT_BYTES = 70
_PROBE_BYTES = 2500

_KINDS = frozenset(probe_pb2.ProbeKind.values()) - {probe_pb2.PROBE_KIND_UNSPECIFIED}


@dataclass(frozen=True)
class Section:
    """Part of a stub library: file offset and link-time address, size in bytes."""

    address: int
    size: int


@dataclass(frozen=True)
class StubImage:
    """What a stub library says, apart from where it is mapped."""

    manifest: manifest_pb2.Manifest
    text: Section
    semaphores: Section
    states: Section
    gates: Section
    notes: tuple[Note, ...]
    # What it takes in memory, with its probes: an estimate from above, in bytes.
    weight: int


_NOWHERE = Place((0, 0, 0), 0, "")


@dataclass(frozen=True)
class StubLibrary:
    """A stub library mapped into a process.

    `file` is a path by which it can be opened from here; `bias` is what to add to an address of
    the image to get the address in the process; `place` tells it from all others of the process.
    """

    pid: int
    file: str
    bias: int
    image: StubImage
    place: Place = _NOWHERE

    @property
    def is_agents(self) -> bool:
        """Whether an agent has written it, and not the program itself."""
        return bool(self.image.manifest.agent_version)


def is_stub_path(path: str) -> bool:
    """Whether a path in /proc/PID/maps, without " (deleted)", names a stub library."""
    return _PATH.fullmatch(path) is not None


def parse_stub_image(content: bytes) -> StubImage:
    """Reads the bytes of a stub library. Raises MalformedLibraryError for anything else."""
    sections = read_sections(content)
    manifest_bytes = _bytes_of(content, sections, ".jprobe.manifest")
    manifest, elements = decode_manifest(manifest_bytes)
    # A library without probes need not have notes.
    note_bytes = _bytes_of(content, sections, ".note.stapsdt") if ".note.stapsdt" in sections else b""
    slots, methods = len(elements.probes), len(elements.methods)
    image = StubImage(
        manifest=manifest,
        text=_array(sections, ".text", SLOT_BYTES, slots, "probes"),
        semaphores=_array(sections, ".probes", SEMAPHORE_BYTES, slots, "probes"),
        states=_array(sections, ".jprobe.state", 1, slots, "probes"),
        gates=_array(sections, ".jprobe.gates", GATE_BYTES, methods, "methods"),
        notes=tuple(parse_notes(note_bytes)),
        weight=len(manifest_bytes) + len(note_bytes) + _ELEMENT_BYTES * elements.total + _PROBE_BYTES * slots,
    )
    _check_notes(image)
    _check_slots(image, elements)
    return image


def _section(sections: dict[str, SectionHeader], name: str) -> SectionHeader:
    section = sections.get(name)
    if section is None:
        raise MalformedLibraryError(f"it has no section {name}")
    return section


def _bytes_of(content: bytes, sections: dict[str, SectionHeader], name: str) -> bytes:
    section = _section(sections, name)
    return content[section.offset : section.offset + section.size]


def _array(sections: dict[str, SectionHeader], name: str, size: int, count: int, what: str) -> Section:
    """Where `count` elements of `size` bytes lie; what the section has beyond them is nobody's."""
    section = _section(sections, name)
    if section.size < count * size:
        raise MalformedLibraryError(f"its section {name} is too small for {count} {what}")
    if section.address != section.offset:
        raise MalformedLibraryError(f"its section {name} has an address that is not its place in the file")
    return Section(section.address, count * size)


def _check_notes(image: StubImage) -> None:
    """Their places go into the kernel: each has to be that of a stub and of a semaphore."""
    text, semaphores = image.text, image.semaphores
    if semaphores.address % SEMAPHORE_BYTES:
        raise MalformedLibraryError("its section .probes lies at an odd address")
    if not image.notes:
        return
    locations, semaphore_places, providers, names, _ = zip(*image.notes, strict=True)
    if not _are_elements(locations, text, SLOT_BYTES):
        raise MalformedLibraryError("the location of a note is not that of a stub")
    if not _are_elements(semaphore_places, semaphores, SEMAPHORE_BYTES):
        raise MalformedLibraryError("the semaphore of a note is not in .probes")
    if len(set(locations)) < len(locations):
        raise MalformedLibraryError("two notes describe one stub")
    if len(set(zip(providers, names, strict=True))) < len(names):
        raise MalformedLibraryError("two of its probes have the same name")


def _are_elements(addresses: Sequence[int], section: Section, size: int) -> bool:
    # What lies before the section becomes a large number.
    offsets = np.array(addresses, np.uint64) - np.uint64(section.address)
    return bool(((offsets < section.size) & (offsets % np.uint64(size) == 0)).all())


def _check_slots(image: StubImage, elements: Elements) -> None:
    methods = len(elements.methods)
    described = 0
    for slot, size in zip(image.manifest.probes, elements.probes, strict=True):
        method, kind = slot.method, slot.kind
        if method >= methods:
            raise MalformedLibraryError(f"a probe refers to method {method}, which is not there")
        if kind not in _KINDS:
            raise MalformedLibraryError(f"a probe has the unknown kind {kind}")
        described += size + elements.methods[method]
    if described > MAX_DESCRIPTION_BYTES:
        raise MalformedLibraryError(f"its probes take {described:,} bytes to describe")


def find_stub_mappings(mappings: list[Mapping]) -> list[Mapping]:
    """The first mapping of each stub library, in the order of their addresses.

    What nobody can access is no part of one: it keeps the place of a library that was unloaded.
    """
    first: dict[tuple[int, int, int], Mapping] = {}
    for mapping in mappings:
        if is_stub_path(mapping.path) and mapping.access != "---p":
            first.setdefault(mapping.file, mapping)
    return list(first.values())


def read_stub_mappings(pid: int) -> list[Mapping]:
    """The stub libraries that a process has mapped now. Raises OSError."""
    return find_stub_mappings(read_maps(pid, _IN_EVERY_PATH))


def read_stub_library(pid: int, mapping: Mapping, files: MappedFiles | None = None) -> StubLibrary:
    """Opens and reads what is mapped. Raises MalformedLibraryError, or OSError if it cannot be opened.

    Whoever reads several at a time gives the same `files` for all.
    """
    file, content = (files or MappedFiles(pid)).read(mapping, MAX_LIBRARY_BYTES)
    return StubLibrary(
        pid=pid,
        file=file,
        bias=mapping.start - mapping.offset,
        image=parse_stub_image(content),
        place=mapping.place,
    )

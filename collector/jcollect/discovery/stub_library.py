"""Finds and reads stub libraries: what the agent has written about its probes (contract 1 of the design).

Here is the file as it is mapped; what becomes of it as probes is in probes.py. In a stub library
link-time address and file offset are the same everywhere, so one number serves as both.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from google.protobuf.message import DecodeError

from jcollect.discovery.maps import Mapping, Place, read_maps
from jcollect.discovery.usdt_notes import Note, parse_notes
from jprobe.v1 import manifest_pb2, probe_pb2

MANIFEST_VERSION = 2
SLOT_BYTES = 32
GATE_BYTES = 64

# <any directory>/jprobe-<pid>[-<n>]/<generation>.so, or the memfd jprobe-<generation>. The PID in the
# name is the one inside the target's PID namespace, so it says nothing here.
_PATH = re.compile(r".*/jprobe-\d+(-\d+)?/\d+\.so|/memfd:jprobe-\d+")
_IN_EVERY_PATH = b"jprobe-"


_KINDS = frozenset(probe_pb2.ProbeKind.values()) - {probe_pb2.PROBE_KIND_UNSPECIFIED}


class MalformedLibraryError(Exception):
    """What is mapped under the name of a stub library is not one. The message says why."""


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
    try:
        elf = ELFFile(io.BytesIO(content))
        if elf.elfclass != 64 or not elf.little_endian:
            raise MalformedLibraryError("not a little-endian ELF64 file")
        sections = {
            section.name: Section(section["sh_offset"], section["sh_size"])
            for section in elf.iter_sections()
            if section["sh_type"] != "SHT_NULL"
        }
        manifest = manifest_pb2.Manifest.FromString(_bytes_of(content, sections, ".jprobe.manifest"))
        if manifest.version != MANIFEST_VERSION:
            raise MalformedLibraryError(
                f"its layout has version {manifest.version}, and this jcollect reads {MANIFEST_VERSION}"
            )
        notes: tuple[Note, ...] = ()
        if ".note.stapsdt" in sections:
            notes = tuple(parse_notes(_bytes_of(content, sections, ".note.stapsdt")))
        image = StubImage(
            manifest=manifest,
            text=_section(content, sections, ".text"),
            semaphores=_section(content, sections, ".probes"),
            states=_section(content, sections, ".jprobe.state"),
            gates=_section(content, sections, ".jprobe.gates"),
            notes=notes,
        )
        _check(image)
        return image
    except MalformedLibraryError:
        raise
    except DecodeError:
        raise MalformedLibraryError("its manifest cannot be decoded") from None
    except ELFError as error:
        raise MalformedLibraryError(f"not an ELF file: {error}") from None
    # pyelftools meets broken headers with whatever its parsing stumbles over.
    except Exception as error:
        raise MalformedLibraryError(f"{type(error).__name__}: {error}") from None


def _section(content: bytes, sections: dict[str, Section], name: str) -> Section:
    section = sections.get(name)
    if section is None:
        raise MalformedLibraryError(f"it has no section {name}")
    if section.address + section.size > len(content):
        raise MalformedLibraryError(f"its section {name} reaches beyond the file")
    return section


def _bytes_of(content: bytes, sections: dict[str, Section], name: str) -> bytes:
    section = _section(content, sections, name)
    return content[section.address : section.address + section.size]


def _check(image: StubImage) -> None:
    slots = len(image.manifest.probes)
    for section, size, name in (
        (image.text, SLOT_BYTES, ".text"),
        (image.semaphores, 2, ".probes"),
        (image.states, 1, ".jprobe.state"),
    ):
        if section.size < slots * size:
            raise MalformedLibraryError(f"its section {name} is too small for {slots} probes")
    methods = len(image.manifest.methods)
    if image.gates.size < methods * GATE_BYTES:
        raise MalformedLibraryError(f"its section .jprobe.gates is too small for {methods} methods")
    for slot in image.manifest.probes:
        if slot.method >= methods:
            raise MalformedLibraryError(f"a probe refers to method {slot.method}, which is not there")
        if slot.kind not in _KINDS:
            raise MalformedLibraryError(f"a probe has the unknown kind {slot.kind}")


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


def read_stub_library(pid: int, mapping: Mapping) -> StubLibrary:
    """Opens and reads what is mapped. Raises MalformedLibraryError, or OSError if it cannot be opened."""
    file = _find_file(pid, mapping)
    with open(file, "rb") as stream:
        content = stream.read()
    return StubLibrary(
        pid=pid,
        file=file,
        bias=mapping.start - mapping.offset,
        image=parse_stub_image(content),
        place=mapping.place,
    )


def _find_file(pid: int, mapping: Mapping) -> str:
    """A path by which the mapped file, and no other of the same name, can be opened from here."""
    if not mapping.path.startswith("/memfd:") and not mapping.deleted:
        # The plain path first: it is the one that other tools take too (bpftrace -p puts
        # /proc/PID/root before it by itself).
        for path in (mapping.path, f"/proc/{pid}/root{mapping.path}"):
            if _is_file(path, mapping):
                return path
    directory = f"/proc/{pid}/fd"
    for descriptor in os.listdir(directory):
        path = f"{directory}/{descriptor}"
        if _is_file(path, mapping):
            return path
    # Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, but no path and no descriptor: proc_pid_map_files(5).
    return f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"


def _is_file(path: str, mapping: Mapping) -> bool:
    # The inode number alone will not do: numbers of different tmpfs mounts collide.
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino) == mapping.file

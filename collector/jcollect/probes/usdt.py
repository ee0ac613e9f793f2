"""USDT probes of any program, read from the notes of a file that a process has mapped.

Such a probe has no manifest, and so no state, no gate and no Java thread: it fires whenever a tracer is
attached. Its note says where its arguments are (usdt_operands.py), but not what they mean; for well-known
probes that is in known_usdt.py.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jcollect.layout.record import WORDS_MAX
from jcollect.layout.usdt import OPERAND_KIND_CONSTANT, OPERAND_LIMITS_MOST_STRINGS
from jcollect.limits import MAX_LIBRARY_BYTES
from jcollect.probes.elf import ET_DYN, ET_EXEC, SectionHeader, read_sections
from jcollect.probes.faults import Faults
from jcollect.probes.known_usdt import LENGTH_STRING, STRING, Argument, known_arguments
from jcollect.probes.probe import MARK, Probe
from jcollect.probes.site import Backing, Site, SiteOperands
from jcollect.probes.usdt_notes import Note, parse_notes
from jcollect.probes.usdt_operands import Operand, OperandError, parse_operand, split_arguments
from jcollect.procfs.mapped_file import MappedFiles, mapped
from jcollect.procfs.maps import Mapping, MappingKey, read_maps
from jcollect.procfs.process import Process
from jprobe.v1 import probe_pb2

_NOTES = ".note.stapsdt"
# Instructions that compilers emit at a probe, by machine. Any other bytes mean that the note is wrong.
_NOPS = {"x86_64": (b"\x90", b"\x0f\x1f\x44\x00\x00"), "aarch64": (b"\x1f\x20\x03\xd5",)}
# Semaphores that are looked for in the mappings of a file: all are in the same.
_MOST_TRIED = 16
# Words of a mark: it has no thread ID.
MOST_WORDS = WORDS_MAX - 1


@dataclass(frozen=True)
class UsdtBinary:
    """An executable or a shared library that a process has mapped. See Binary."""

    process: Process
    file: str
    bias: int
    key: MappingKey
    backing: Backing


def read_usdt_probes(process: Process, path: str, faults: Faults | None = None) -> list[Probe]:
    """Returns the probes of the file that a process has mapped from `path`, in the order of their locations.

    Notes of no use are added to `faults`. Raises OSError if nothing is mapped from there or it cannot be
    read, and MalformedLibraryError if it is not an ELF file or its notes are malformed.
    """
    mappings = [mapping for mapping in read_maps(process, os.fsencode(path)) if mapping.path == path]
    code = next((mapping for mapping in mappings if "x" in mapping.access), None)
    if code is None:
        raise FileNotFoundError(errno.ENOENT, "no code is mapped from it", path)
    file = MappedFiles(process).read(code, MAX_LIBRARY_BYTES)
    assert file.content is not None
    content = file.content
    faults = Faults() if faults is None else faults
    sections = read_sections(content, (ET_DYN, ET_EXEC))
    if _NOTES not in sections:
        return []
    header = sections[_NOTES]
    notes = list(parse_notes(content[header.offset : header.offset + header.size], faults))
    found = list(_locate(notes, list(sections.values()), content, faults))
    bias = _bias_of([semaphore for _, _, semaphore in found if semaphore], mappings)
    binary = UsdtBinary(process, file.path, bias, code.key, Backing(mapped(code), file.state, file.digest))
    return [_probe(binary, note, location, semaphore) for location, note, semaphore in found]


def _locate(
    notes: Iterable[Note], sections: Sequence[SectionHeader], content: bytes, faults: Faults
) -> Iterable[tuple[int, Note, int]]:
    """Yields the file offset of each probe, its note, and the file offset of its semaphore or 0."""
    known: set[int] = set()
    for note in sorted(notes, key=lambda note: note.location):
        location = _offset_of(note.location, sections)
        semaphore = _offset_of(note.semaphore, sections) if note.semaphore else 0
        if not location or not content.startswith(_NOPS.get(platform.machine(), ()), location):
            faults.add(f"{note.provider}:{note.name}", "there is no nop at its location")
        elif semaphore is None:
            faults.add(f"{note.provider}:{note.name}", "its semaphore is not in the file")
        elif location not in known:
            known.add(location)
            yield location, note, semaphore


def _offset_of(address: int, sections: Sequence[SectionHeader]) -> int | None:
    """Returns the file offset of a link-time address; None if no section of the file has it."""
    for section in sections:
        # Sections that are not loaded have the address 0.
        if section.address and section.address <= address < section.address + section.size:
            return section.offset + address - section.address
    return None


def _bias_of(semaphores: Sequence[int], mappings: Sequence[Mapping]) -> int:
    """Returns what to add to the file offset of a semaphore to get its address; 0 if there are none."""
    for offset in semaphores[:_MOST_TRIED]:
        for mapping in mappings:
            if "w" in mapping.access and 0 <= offset - mapping.offset < mapping.end - mapping.start:
                return mapping.start - mapping.offset
    return 0


def _probe(binary: UsdtBinary, note: Note, location: int, semaphore: int) -> Probe:
    layout, values = _arguments(note)
    return Probe(
        # At least one word is read, even if the probe has no value.
        site=Site(binary, location, semaphore, max(1, len(values)), layout.strings, operands=layout),
        slot=None,
        provider=note.provider,
        name=note.name,
        kind=MARK,
        class_name=note.provider,
        class_loader_id=0,
        method=note.name,
        method_descriptor="",
        values=tuple(values),
    )


def _arguments(note: Note) -> tuple[SiteOperands, list[probe_pb2.Value]]:
    """Returns where the arguments are, and what they are. Those that a uprobe cannot see are left out."""
    found: list[Operand | None] = []
    for text in split_arguments(note.arguments):
        try:
            found.append(parse_operand(text))
        except OperandError:
            found.append(None)
    known = known_arguments(note.provider, note.name, len(found))
    meanings = known or [Argument(f"arg{number}") for number in range(1, len(found) + 1)]
    words: list[Operand] = []
    values: list[probe_pb2.Value] = []
    lengths: dict[int, Operand | None] = {}
    at = 0
    for meaning in meanings:
        operand = found[at]
        length = found[at + 1] if meaning.kind == LENGTH_STRING else None
        at += meaning.operands
        if operand is None or (meaning.kind == LENGTH_STRING and length is None) or len(words) == MOST_WORDS:
            continue
        is_string = meaning.kind in (LENGTH_STRING, STRING) and len(lengths) < OPERAND_LIMITS_MOST_STRINGS
        if is_string:
            lengths[len(words)] = length
        words.append(operand)
        values.append(_value(meaning.name, operand, is_string))
    return _layout(words, lengths), values


def _value(name: str, operand: Operand, is_string: bool) -> probe_pb2.Value:
    if is_string:
        return probe_pb2.Value(name=name, java_type="string", type=probe_pb2.VALUE_TYPE_STRING)
    sign = "" if operand.is_signed else "u"
    value_type = probe_pb2.VALUE_TYPE_LONG if operand.is_signed else probe_pb2.VALUE_TYPE_UNSIGNED
    return probe_pb2.Value(name=name, java_type=f"{sign}int{8 * operand.width}", type=value_type)


def _layout(words: Sequence[Operand], lengths: dict[int, Operand | None]) -> SiteOperands:
    """Returns the operands of the words, followed by those of the lengths of strings."""
    operands = list(words) or [Operand(OPERAND_KIND_CONSTANT, 8, False)]
    length_of: dict[int, int] = {}
    for word, length in lengths.items():
        if length is not None:
            length_of[word] = len(operands)
            operands.append(length)
    mask = sum(1 << word for word in lengths)
    return SiteOperands(tuple(operands), max(1, len(words)), mask, length_of)

"""Builds stub libraries from named parts, as manifest.proto describes them, for tests.

Uses only the collector's generated layouts: a writer that shared the reader's code would also share its
mistakes, and hide them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from jcollect.layout.gate import GATE_SIZE
from jcollect.layout.record import WORDS_MAX
from jcollect.layout.stub_library import (
    DIRECT_SEMAPHORES_SIZE,
    SECTION_BASE,
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
    STUB_LIBRARY_VERSION,
    STUB_X86_64_CODE,
)
from jprobe.v1 import manifest_pb2, probe_pb2

SEGMENT = 65536
STUB = STUB_X86_64_CODE.ljust(SLOT_BYTES, b"\xcc")
REGISTERS = ("%rdi", "%rsi", "%rdx", "%rcx", "%r8", "%r9")

Type = probe_pb2.ValueType

BOOLEAN = probe_pb2.VALUE_TYPE_BOOLEAN
BYTE = probe_pb2.VALUE_TYPE_BYTE
SHORT = probe_pb2.VALUE_TYPE_SHORT
INT = probe_pb2.VALUE_TYPE_INT
LONG = probe_pb2.VALUE_TYPE_LONG
CHAR = probe_pb2.VALUE_TYPE_CHAR
FLOAT = probe_pb2.VALUE_TYPE_FLOAT
DOUBLE = probe_pb2.VALUE_TYPE_DOUBLE
STRING = probe_pb2.VALUE_TYPE_STRING
REFERENCE = probe_pb2.VALUE_TYPE_REFERENCE
ABSENCE = probe_pb2.VALUE_TYPE_ABSENCE
UNSIGNED = probe_pb2.VALUE_TYPE_UNSIGNED

ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW
MARK = probe_pb2.PROBE_KIND_MARK
LIMIT = probe_pb2.PROBE_KIND_LIMIT

JAVA_NAMES = {
    BOOLEAN: "boolean",
    BYTE: "byte",
    SHORT: "short",
    INT: "int",
    LONG: "long",
    CHAR: "char",
    FLOAT: "float",
    DOUBLE: "double",
    STRING: "java.lang.String",
    REFERENCE: "java.util.List",
    ABSENCE: "int",
    UNSIGNED: "uint64",
}
SIZES = {BOOLEAN: "1", BYTE: "-1", SHORT: "-2", INT: "-4", LONG: "-8", CHAR: "2", FLOAT: "4", DOUBLE: "8"}
MOST_IN_NOTE = WORDS_MAX - 1


def value(name: str, value_type: Type, path: str = "") -> probe_pb2.Value:
    return probe_pb2.Value(name=name, java_type=JAVA_NAMES[value_type], type=value_type, path=path)


def captured(name: str, value_type: Type) -> probe_pb2.Value:
    """Returns a value that a selector captures."""
    return value(name, value_type, f"arg0.{name}")


ABSENT = value("absent", ABSENCE)
EXCEPTION = value("exception", STRING)


@dataclass(frozen=True)
class Method:
    """One traced method; its probes get the kinds given, in that order.

    Each probe passes `captures`, after a return's value and a throw's exception, instead of the arguments.
    """

    class_name: str
    method: str
    arguments: tuple[Type, ...] = ()
    returns: Type | None = None
    descriptor: str = "()V"
    kinds: tuple[int, ...] = (ENTRY, RETURN, THROW)
    captures: tuple[probe_pb2.Value, ...] = ()
    condition: str = ""

    def values(self, kind: int) -> list[probe_pb2.Value]:
        """Returns the values that the probe of that kind passes."""
        if kind in (ENTRY, MARK, LIMIT) and not self.captures:
            return [value(f"arg{i}", each) for i, each in enumerate(self.arguments)]
        usual: dict[int, list[probe_pb2.Value]] = {
            ENTRY: [],
            MARK: [],
            LIMIT: [],
            RETURN: [] if self.returns is None else [value("return", self.returns)],
            THROW: [EXCEPTION],
        }
        return [*usual[kind], *self.captures]


def mark(provider: str, name: str, *values: Type) -> Method:
    """Returns a probe that a program defines and fires itself."""
    return Method(provider, name, values, descriptor="", kinds=(MARK,))


@dataclass
class StubImage:
    """The parts of a stub library; a test may corrupt any of them before `build`."""

    methods: list[Method] = field(default_factory=list)
    generation: int = 1
    selectors: list[str] = field(default_factory=lambda: ["com.acme.**#*"])
    version: int = STUB_LIBRARY_VERSION
    state: int = probe_pb2.PROBE_STATE_DORMANT
    reverse_notes: bool = False
    manifest_bytes: bytes | None = None
    untraceable: list[manifest_pb2.Untraceable] = field(default_factory=list)
    refusal: str = ""
    gate_bytes: int | None = None
    agent_version: str = "0.1.0"

    def manifest(self) -> manifest_pb2.Manifest:
        manifest = manifest_pb2.Manifest(
            version=self.version,
            agent_version=self.agent_version,
            generation=self.generation,
            selectors=self.selectors,
            untraceable=self.untraceable,
            refusal=self.refusal,
        )
        for index, method in enumerate(self.methods):
            manifest.methods.add(
                class_name=method.class_name,
                class_loader_id=1,
                method=method.method,
                method_descriptor=method.descriptor,
                condition=method.condition,
            )
            for kind in method.kinds:
                manifest.probes.add(method=index, kind=kind, values=method.values(kind))
        return manifest

    def names(self) -> list[tuple[str, str]]:
        """Returns provider and name of each slot."""
        kinds: dict[int, str] = {ENTRY: "__entry", RETURN: "__return", THROW: "__throw", MARK: "", LIMIT: ""}
        special = {"<init>": "init", "<clinit>": "clinit"}
        return [
            (
                "".join(c if c.isascii() and c.isalnum() else "_" for c in method.class_name),
                f"{special.get(method.method, method.method)}{kinds[kind]}",
            )
            for method in self.methods
            for kind in method.kinds
        ]

    def argument_formats(self) -> list[str]:
        formats = []
        for method in self.methods:
            for kind in method.kinds:
                sizes = [SIZES.get(each.type, "8") for each in method.values(kind)]
                if kind in (RETURN, THROW):
                    sizes = ["8", *(sizes or ["8"])]
                if kind != MARK:
                    sizes.append("8")
                formats.append(
                    " ".join(
                        f"{size}@{REGISTERS[i]}" if i < 6 else f"{size}@{8 * (i - 5)}(%rsp)"
                        for i, size in enumerate(sizes[:MOST_IN_NOTE])
                    )
                )
        return formats

    def build(self) -> bytes:
        manifest = self.manifest_bytes if self.manifest_bytes is not None else None
        if manifest is None:
            manifest = self.manifest().SerializeToString()
        slots = sum(len(method.kinds) for method in self.methods)
        return _link(
            text=STUB * max(slots, 1),
            names=self.names(),
            formats=self.argument_formats(),
            states=bytes([self.state]) * slots * SLOT_STATE_BYTES,
            gates=bytes(GATE_SIZE * len(self.methods) if self.gate_bytes is None else self.gate_bytes),
            manifest=manifest,
            reverse_notes=self.reverse_notes,
        )


def _pad(data: bytes, alignment: int) -> bytes:
    return data + bytes(-len(data) % alignment)


def _note(owner: bytes, note_type: int, description: bytes) -> bytes:
    return (
        struct.pack("<III", len(owner), len(description), note_type) + _pad(owner, 4) + _pad(description, 4)
    )


def _link(
    text: bytes,
    names: list[tuple[str, str]],
    formats: list[str],
    states: bytes,
    gates: bytes,
    manifest: bytes,
    reverse_notes: bool,
) -> bytes:
    image = bytearray(64 + 5 * 56)
    sections: list[tuple[str, int, int, int, int, int]] = []  # name, type, flags, offset, size, link

    def add_section(name: str, data: bytes, kind: int, flags: int, alignment: int, link: int = 0) -> int:
        image.extend(bytes(-len(image) % alignment))
        offset = len(image)
        image.extend(data)
        sections.append((name, kind, flags, offset, len(data), link))
        return offset

    alloc, write, execute = 2, 1, 4
    hash_at = add_section(".hash", struct.pack("<IIII", 1, 1, 0, 0), 5, alloc, 8, 2)
    symbols_at = add_section(".dynsym", bytes(24), 11, alloc, 8, 3)
    strings_at = add_section(".dynstr", b"\0", 3, alloc, 1)
    build_id = _note(b"GNU\0", 3, bytes(range(20)))
    build_id_at = add_section(".note.gnu.build-id", build_id, 7, alloc, 4)
    text_at = add_section(SECTION_STUBS, text, 1, alloc | execute, 64)
    executable_end = len(image)

    dynamic = b"".join(
        struct.pack("<qQ", tag, value)
        for tag, value in ((4, hash_at), (5, strings_at), (6, symbols_at), (10, 1), (11, 24), (0, 0))
    )
    image.extend(bytes(-len(image) % SEGMENT))
    writable_at = add_section(".dynamic", dynamic, 6, alloc | write, 8, 3)
    semaphores = bytes(SLOT_SEMAPHORE_BYTES * max(len(names), 1))
    probes_at = add_section(SECTION_SEMAPHORES, semaphores, 1, alloc | write, SLOT_SEMAPHORE_BYTES)
    add_section(SECTION_DIRECT, bytes(DIRECT_SEMAPHORES_SIZE * max(len(names), 1)), 1, alloc | write, 4)
    add_section(SECTION_STATES, states, 1, alloc | write, 1)
    add_section(SECTION_GATES, gates, 1, alloc | write, 64)
    writable_end = len(image)

    # Tools that know of prelinking correct addresses by the difference between this section's address and the
    # one in the notes.
    base_at = add_section(SECTION_BASE, b"\0", 1, 0, 1)
    notes = [
        _note(
            b"stapsdt\0",
            3,
            struct.pack("<QQQ", text_at + SLOT_BYTES * slot, base_at, probes_at + SLOT_SEMAPHORE_BYTES * slot)
            + f"{provider}\0{name}\0{arguments}\0".encode(),
        )
        for slot, ((provider, name), arguments) in enumerate(zip(names, formats, strict=True))
    ]
    if reverse_notes:
        notes.reverse()
    add_section(SECTION_NOTES, b"".join(notes), 7, 0, 4)
    add_section(SECTION_MANIFEST, manifest, 1, 0, 1)

    string_table = b"\0"
    name_offsets = []
    for name in [section[0] for section in sections] + [".shstrtab"]:
        name_offsets.append(len(string_table))
        string_table += name.encode() + b"\0"
    add_section(".shstrtab", string_table, 3, 0, 1)
    image.extend(bytes(-len(image) % 8))
    headers_at = len(image)
    image.extend(bytes(64))
    for (_, kind, flags, offset, size, link), name_offset in zip(sections, name_offsets, strict=True):
        address = offset if flags & alloc else 0
        image.extend(
            struct.pack(
                "<IIQQQQIIQQ",
                name_offset,
                kind,
                flags,
                address,
                offset,
                size,
                link,
                0,
                1,
                24 if kind == 11 else 0,
            )
        )

    def segment(kind: int, flags: int, start: int, end: int, alignment: int) -> bytes:
        size = end - start
        return struct.pack("<IIQQQQQQ", kind, flags, start, start, start, size, size, alignment)

    program_headers = (
        segment(1, 5, 0, executable_end, SEGMENT)
        + segment(1, 6, writable_at, writable_end, SEGMENT)
        + segment(2, 6, writable_at, writable_at + len(dynamic), 8)
        + segment(4, 4, build_id_at, build_id_at + len(build_id), 4)
        + segment(0x6474E551, 6, 0, 0, 16)
    )
    image[64 : 64 + len(program_headers)] = program_headers
    image[0:64] = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        3,
        62,
        1,
        0,
        64,
        headers_at,
        0,
        64,
        56,
        5,
        64,
        len(sections) + 1,
        len(sections),
    )
    return bytes(image)


def own_image(*marks: Method) -> StubImage:
    """Returns a library as a program writes it for user-defined probes."""
    return StubImage(list(marks), selectors=[], agent_version="", state=probe_pb2.PROBE_STATE_ARMED)

"""Reads the layouts that are described in *.toml, computes their offsets, and rejects what cannot be right.

README.md explains the notation. Nothing here knows a target language.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LANGUAGES = ("c", "java", "python")

SCALARS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
_POINTER_BYTES = 8
_WORD_BITS = 64
# A field's type: `u64`, `u64[2]`, `u64[]` or, with names for the elements, `gate_probe[entry return throw]`.
_TYPE = re.compile(r"(?P<base>\w+)(?P<array>\[(?P<elements>[\w ]*)\])?")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class LayoutError(Exception):
    """A description that contradicts itself. The message names the position and the remedy."""


@dataclass(frozen=True)
class Field:
    """A field of a struct. `offset` and `bytes` are in bytes; an open array at the end has none."""

    name: str
    base: str  # a scalar, the name of a struct, or the C type of a pointer
    offset: int
    bytes: int
    doc: str = field(repr=False)
    is_pointer: bool = False
    count: int | None = None  # of an array's elements; 0: as many as follow
    elements: tuple[str, ...] = ()

    @property
    def is_unused(self) -> bool:
        return self.name.startswith("unused")


@dataclass(frozen=True)
class Struct:
    name: str
    doc: str = field(repr=False)
    fields: tuple[Field, ...]
    bytes: int
    align: int
    is_word: bool


@dataclass(frozen=True)
class Bit:
    """Some bits of a number: the lowest is `shift`; `mask` is that of the value after the shift."""

    name: str
    shift: int
    width: int
    doc: str = field(repr=False)

    @property
    def mask(self) -> int:
        return (1 << self.width) - 1


@dataclass(frozen=True)
class Bits:
    name: str
    doc: str = field(repr=False)
    fields: tuple[Bit, ...]

    @property
    def width(self) -> int:
        return sum(field.width for field in self.fields)


@dataclass(frozen=True)
class Constant:
    name: str
    value: int | str
    doc: str = field(repr=False)


@dataclass(frozen=True)
class Constants:
    """Named numbers and texts; `is_enum` if they are the values of one variable."""

    name: str
    doc: str = field(repr=False)
    values: tuple[Constant, ...]
    is_enum: bool = False


@dataclass(frozen=True)
class Instruction:
    """Machine code at an offset in bytes."""

    name: str
    offset: int
    code: bytes
    doc: str = field(repr=False)


@dataclass(frozen=True)
class Code:
    """Instructions, one after the other."""

    name: str
    doc: str = field(repr=False)
    instructions: tuple[Instruction, ...]

    @property
    def content(self) -> bytes:
        return b"".join(instruction.code for instruction in self.instructions)


Item = Struct | Bits | Constants | Code


@dataclass(frozen=True)
class Description:
    """One file: its opening comment, and its items with the languages that share them."""

    file: str
    about: str
    items: tuple[tuple[Item, frozenset[str]], ...]

    def items_for(self, language: str) -> list[Item]:
        return [item for item, languages in self.items if language in languages]


def read_descriptions(folder: Path, probe_proto: Path) -> list[Description]:
    """Reads all *.toml of a folder; `probe_proto` defines the enums. Raises LayoutError."""
    enums = probe_proto.read_text()
    known: dict[str, Struct] = {}
    return [_read_file(file, known, enums) for file in sorted(folder.glob("*.toml"))]


def digest_of(descriptions: Sequence[Description]) -> int:
    """Returns a number of 64 bits that differs if any layout differs; docs do not count."""
    text = repr([item for description in descriptions for item, _ in description.items])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _read_file(file: Path, known: dict[str, Struct], enums: str) -> Description:
    text = file.read_text()
    comment = [line[1:].strip() for line in text.split("\n\n")[0].splitlines() if line.startswith("#")]
    try:
        content = tomllib.loads(text)
        shared_by = content.pop("languages")
        items = []
        for name, table in content.items():
            try:
                item = _read_item(name, table, known, enums)
            except LayoutError as error:
                raise LayoutError(f"[{name}]: {error}") from None
            if isinstance(item, Struct):
                known[name] = item
            items.append((item, _languages(table.get("languages", shared_by))))
    except (tomllib.TOMLDecodeError, LayoutError) as error:
        raise LayoutError(f"{file}: {error}") from None
    return Description(file.stem, "\n".join(comment), tuple(items))


def _languages(names: Sequence[str]) -> frozenset[str]:
    for name in names:
        if name not in LANGUAGES:
            raise LayoutError(f"unknown language {name}; known are {', '.join(LANGUAGES)}")
    return frozenset(names)


def _read_item(name: str, table: Mapping[str, Any], known: Mapping[str, Struct], enums: str) -> Item:
    doc = str(table["doc"]).strip()
    kinds = {"fields", "bits", "constants", "values", "proto_enum", "code"} & table.keys()
    if len(kinds) != 1:
        raise LayoutError("needs one of fields, bits, constants, values, proto_enum and code")
    (kind,) = kinds
    rows = table[kind]
    if kind == "proto_enum":
        return Constants(name, doc, _proto_enum(rows, enums), is_enum=True)
    _check_names([row[0] for row in rows])
    if kind == "fields":
        return _struct(name, doc, rows, known, int(table.get("align", 1)), bool(table.get("word")))
    if kind == "bits":
        return _bits(name, doc, rows)
    if kind == "code":
        return _code(name, doc, rows)
    return Constants(name, doc, tuple(Constant(*row) for row in rows), kind == "values")


def _check_names(names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise LayoutError(f"{name!r} is not a name: use lower-case letters, digits and _")
        if name in names[:number]:
            raise LayoutError(f"{name} is there twice")


def _struct(
    name: str, doc: str, rows: Sequence[Sequence[str]], known: Mapping[str, Struct], align: int, is_word: bool
) -> Struct:
    offset, widest = 0, 1
    fields: list[Field] = []
    for field_name, type_name, field_doc in rows:
        if field_name == "size":
            raise LayoutError("no field can have the name size: NAME_SIZE is the size of the struct")
        if fields and fields[-1].count == 0:
            raise LayoutError(f"{fields[-1].name} has an open number of elements and is not the last field")
        field, alignment = _field(field_name, type_name, field_doc, offset, known)
        if offset % alignment:
            # C compilers would insert padding, other languages would not.
            raise LayoutError(
                f"{field_name} ({type_name}) would be at offset {offset}, which is not a multiple of "
                f"{alignment}; move it, or put an unused field before it"
            )
        widest = max(widest, alignment)
        offset += field.bytes
        fields.append(field)
    align = max(align, widest)
    if offset % align:
        raise LayoutError(f"has {offset} bytes, which is not a multiple of {align}; add an unused field")
    if is_word and offset != _WORD_BITS // 8:
        raise LayoutError(f"has {offset} bytes, and a word has {_WORD_BITS // 8}")
    return Struct(name, doc, tuple(fields), offset, align, is_word)


def _field(
    name: str, type_name: str, doc: str, offset: int, known: Mapping[str, Struct]
) -> tuple[Field, int]:
    """Returns a field, and the alignment in bytes that it needs."""
    if type_name.endswith("*"):
        return Field(name, type_name, offset, _POINTER_BYTES, doc, is_pointer=True), _POINTER_BYTES
    found = _TYPE.fullmatch(type_name)
    base = found["base"] if found else ""
    if not found or (base not in SCALARS and base not in known):
        raise LayoutError(
            f"{name} has the unknown type {type_name!r}; a struct is described before it is used"
        )
    size = SCALARS[base] if base in SCALARS else known[base].bytes
    alignment = SCALARS[base] if base in SCALARS else known[base].align
    if found["array"] is None:
        return Field(name, base, offset, size, doc), alignment
    names = tuple(found["elements"].split())
    if len(names) == 1 and names[0].isdigit():
        names = (names[0],)
        count, elements = int(names[0]), ()
    else:
        _check_names(names)
        count, elements = len(names), names
    return Field(name, base, offset, size * count, doc, count=count, elements=elements), alignment


def _bits(name: str, doc: str, rows: Sequence[tuple[str, int, str]]) -> Bits:
    shift = 0
    fields = []
    for bit_name, width, bit_doc in rows:
        if width < 1:
            raise LayoutError(f"{bit_name} has {width} bits")
        fields.append(Bit(bit_name, shift, width, bit_doc))
        shift += width
    if shift > _WORD_BITS:
        raise LayoutError(f"has {shift} bits, and a word has {_WORD_BITS}; make a field narrower")
    return Bits(name, doc, tuple(fields))


def _code(name: str, doc: str, rows: Sequence[tuple[str, str, str]]) -> Code:
    offset = 0
    instructions = []
    for instruction_name, digits, instruction_doc in rows:
        content = bytes.fromhex(digits)
        instructions.append(Instruction(instruction_name, offset, content, instruction_doc))
        offset += len(content)
    return Code(name, doc, tuple(instructions))


def _proto_enum(name: str, proto: str) -> tuple[Constant, ...]:
    body = re.search(rf"^enum {name} \{{(.*?)^\}}", proto, re.MULTILINE | re.DOTALL)
    if not body:
        raise LayoutError(f"the proto has no enum {name}")
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    values = re.findall(rf"^\s*{prefix}(\w+) = (\d+);", body[1], re.MULTILINE)
    return tuple(Constant(value.lower(), int(number), "") for value, number in values)

"""Writes the layouts as a Python package: a ctypes structure for each struct, and constants."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from description import SCALARS, Bits, Code, Constants, Description, Field, Item, Struct, digest_of
from text import GENERATED, camel, hash_comment, upper

_CTYPES = {name: f"ctypes.c_{'u' if name[0] == 'u' else ''}int{name[1:]}" for name in SCALARS}


def python_package(descriptions: Sequence[Description]) -> dict[str, str]:
    """Returns the content of each module by its file's name."""
    digest = f"# Differs if any layout differs.\nDIGEST = {digest_of(descriptions):#x}\n"
    about = f'"""{GENERATED.format(source="the descriptions in layout/")}"""\n\n'
    modules = {"__init__.py": about + digest}
    for description in descriptions:
        items = description.items_for("python")
        parts = [line for item in items for line in ["", "", *_item(item)]]
        if not items:
            continue
        header = [
            f'"""{description.about}',
            "",
            GENERATED.format(source=f"layout/{description.file}.toml"),
            '"""',
            "",
            "from __future__ import annotations",
            "",
            *(["import ctypes"] if any(isinstance(item, Struct) for item in items) else []),
            "from typing import Final",
        ]
        modules[f"{description.file}.py"] = "\n".join([*header, *parts, ""])
    return modules


def _item(item: Item) -> list[str]:
    if isinstance(item, Struct):
        return _struct(item)
    if isinstance(item, Bits):
        return [*hash_comment(item.doc), *_bits(item)]
    if isinstance(item, Code):
        return [*hash_comment(item.doc), *_code(item)]
    return [*hash_comment(item.doc), *_constants(item)]


def _final(name: str, value: object, doc: str = "") -> list[str]:
    return [*hash_comment(doc), f"{name}: Final = {value!r}"]


def _struct(struct: Struct) -> list[str]:
    closed = [field for field in struct.fields if field.count != 0]
    doc = textwrap.wrap(" ".join(struct.doc.split()), 100)
    lines = [f"class {camel(struct.name)}(ctypes.LittleEndianStructure):"]
    lines += textwrap.indent("\n".join([f'"""{doc[0]}', *doc[1:], '"""']), "    ").splitlines()
    lines += ["", "    _fields_ = ("]
    lines += [f'        ("{field.name}", {_ctype(field)}),' for field in closed]
    lines += ["    )"]
    for field in closed:
        # ctypes creates the attributes. Addresses are int or None, which callers need not check each time.
        if field.count is None and field.base in SCALARS:
            lines += [*hash_comment(field.doc, "    "), f"    {field.name}: int"]
    lines += ["", "", *_final(upper(struct.name, "size"), struct.bytes, "Size and offsets in bytes.")]
    for field in struct.fields:
        if not field.is_unused:
            lines += _final(upper(struct.name, field.name), field.offset)
        for number, element in enumerate(field.elements):
            offset = field.offset + number * (field.bytes // len(field.elements))
            lines += _final(upper(struct.name, element), offset)
    columns = {f.name: f"<{f.base[0]}{SCALARS[f.base[:-2]]}" for f in closed if f.base[:-2] in SCALARS}
    if columns:
        about = "Elements of the arrays that the fields point to, as numpy names their types."
        lines += _final(upper(struct.name, "arrays"), columns, about)
    if struct.is_word:
        used = [field for field in closed if not field.is_unused]
        lines += _pack(struct.name, [(field.name, 8 * field.offset) for field in used])
    return lines


def _ctype(field: Field) -> str:
    if field.is_pointer:
        return "ctypes.c_void_p"
    one = _CTYPES.get(field.base, camel(field.base))
    return one if field.count is None else f"{one} * {field.count}"


def _pack(name: str, shifts: list[tuple[str, int]]) -> list[str]:
    arguments = ", ".join(f"{field}: int" for field, _ in shifts)
    value = " | ".join(f"{field} << {shift}" if shift else field for field, shift in shifts)
    return [
        "",
        "",
        f"def pack_{name}(*, {arguments}) -> int:",
        '    """Returns the word; each value must fit its field."""',
        f"    return {value}",
    ]


def _bits(bits: Bits) -> list[str]:
    lines = []
    for field in bits.fields:
        name = upper(bits.name, field.name)
        lines += _final(f"{name}_SHIFT", field.shift, field.doc)
        lines += [f"{name}_MASK: Final = {field.mask:#x}"]
        if field.width == 1:
            lines += [f"{name}: Final = 1 << {field.shift}"]
    return [*lines, *_pack(bits.name, [(field.name, field.shift) for field in bits.fields])]


def _constants(constants: Constants) -> list[str]:
    return [
        line
        for constant in constants.values
        for line in _final(upper(constants.name, constant.name), constant.value, constant.doc)
    ]


def _code(code: Code) -> list[str]:
    lines = []
    for instruction in code.instructions:
        lines += _final(upper(code.name, instruction.name), instruction.offset, instruction.doc)
    return [*lines, f'{upper(code.name, "code")}: Final = bytes.fromhex("{code.content.hex()}")']

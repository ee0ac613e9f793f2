"""Writes the layouts as one C header, for the BPF program (which has no C library) and for C11."""

from __future__ import annotations

import re
from collections.abc import Iterable

from description import Bits, Code, Constants, Description, Item, Struct
from text import GENERATED, block_comment, upper

# The compiler's own names: stdint.h is not there for BPF.
_SCALAR = re.compile(r"\b([iu])(8|16|32|64)\b")

_ACCESSORS = """\
/* The value of a field in a word, and a word with nothing but a field: LAYOUT_GET(COOKIE_WORDS, cookie). */
#define LAYOUT_GET(field, word) (((word) >> field##_SHIFT) & field##_MASK)
#define LAYOUT_PUT(field, value) (((value) & field##_MASK) << field##_SHIFT)
"""


def c_header(descriptions: Iterable[Description]) -> str:
    """Returns the content of the header."""
    parts = [f"/* {GENERATED.format(source='layout/*.toml')} */", "#ifndef JPROBE_LAYOUT_H"]
    parts += ["#define JPROBE_LAYOUT_H", "", _ACCESSORS]
    for description in descriptions:
        items = description.items_for("c")
        if items:
            parts += [f"/* ---- layout/{description.file}.toml ---- */", ""]
        for item in items:
            parts += [*block_comment(item.doc), *_item(item), ""]
    return "\n".join([*parts, "#endif", ""])


def _item(item: Item) -> list[str]:
    if isinstance(item, Struct):
        return _struct(item)
    if isinstance(item, Bits):
        return _bits(item)
    if isinstance(item, Code):
        return _code(item)
    return _constants(item)


def _c_type(name: str) -> str:
    """u64 becomes __UINT64_TYPE__, also in `const u64 *`; a name alone is a struct's."""
    if _SCALAR.search(name):
        return _SCALAR.sub(lambda m: f"__{'U' if m[1] == 'u' else ''}INT{m[2]}_TYPE__", name)
    return name if "*" in name else f"struct {name}"


def _struct(struct: Struct) -> list[str]:
    lines = [f"struct {struct.name} {{"]
    for field in struct.fields:
        array = "" if field.count is None else f"[{field.count or ''}]"
        lines += block_comment(field.doc, "\t")
        lines.append(f"\t{_c_type(field.base)}{'' if field.is_pointer else ' '}{field.name}{array};")
    lines += ["};", f"#define {upper(struct.name, 'size')} {struct.bytes}"]
    for field in struct.fields:
        for number, element in enumerate(field.elements):
            lines.append(f"#define {upper(struct.name, element)} {number} /* index in {field.name} */")
    lines.append(f'_Static_assert(sizeof(struct {struct.name}) == {struct.bytes}, "{struct.name}");')
    for field in struct.fields:
        place = f"__builtin_offsetof(struct {struct.name}, {field.name})"
        lines.append(f'_Static_assert({place} == {field.offset}, "{struct.name}.{field.name}");')
    return lines


def _bits(bits: Bits) -> list[str]:
    # The suffix keeps sums of a 32-bit word 32 bits wide, which -Wconversion cares about.
    suffix = "U" if bits.width <= 32 else "ULL"
    lines = []
    for field in bits.fields:
        name = upper(bits.name, field.name)
        lines += block_comment(field.doc)
        lines.append(f"#define {name}_SHIFT {field.shift}")
        lines.append(f"#define {name}_MASK {field.mask:#x}{suffix}")
        if field.width == 1:
            lines.append(f"#define {name} (1{suffix} << {field.shift})")
    return lines


def _constants(constants: Constants) -> list[str]:
    lines = []
    for name, value, doc in constants.values:
        literal = f'"{value}"' if isinstance(value, str) else str(value)
        lines += block_comment(doc, "\t" if constants.is_enum else "")
        full = upper(constants.name, name)
        lines.append(f"\t{full} = {literal}," if constants.is_enum else f"#define {full} {literal}")
    return [f"enum {constants.name} {{", *lines, "};"] if constants.is_enum else lines


def _code(code: Code) -> list[str]:
    lines = []
    for name, offset, _, doc in code.instructions:
        lines += block_comment(doc)
        lines.append(f"#define {upper(code.name, name)} {offset}")
    content = ", ".join(f"{byte:#04x}" for byte in code.content)
    return [*lines, f"#define {upper(code.name, 'code')} {content}"]

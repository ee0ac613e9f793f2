"""Writes the layouts as one C header, for the BPF program (which has no C library) and for C11."""

from __future__ import annotations

import re
from collections.abc import Sequence

from description import Bits, Code, Constants, Description, Item, Struct, digest_of
from text import GENERATED, block_comment, upper

# The compiler's own names: stdint.h is not there for BPF.
_SCALAR = re.compile(r"\b([iu])(8|16|32|64)\b")

_ACCESSORS = """\
/* LAYOUT_GET(COOKIE_WORDS, cookie) is the value of some bits, LAYOUT_PUT(COOKIE_WORDS, 3) a word
 * with nothing but these bits, LAYOUT_BITS(COOKIE_WORDS) one with all of them set. */
#define LAYOUT_GET(bits, word) (((word) >> bits##_SHIFT) & bits##_MASK)
#define LAYOUT_PUT(bits, value) (((value) & bits##_MASK) << bits##_SHIFT)
#define LAYOUT_BITS(bits) (bits##_MASK << bits##_SHIFT)
"""


def c_header(descriptions: Sequence[Description]) -> str:
    """Returns the content of the header."""
    terms = "/* SPDX-License-Identifier: Apache-2.0 OR BSD-2-Clause OR GPL-2.0-only */"
    parts = [
        terms,
        f"/* {GENERATED.format(source='the descriptions in layout/')} */",
        "#ifndef JPROBE_LAYOUT_H",
    ]
    digest = f"#define LAYOUT_DIGEST {digest_of(descriptions):#x}ULL"
    parts += ["#define JPROBE_LAYOUT_H", "", _ACCESSORS, "/* Differs if any layout differs. */", digest, ""]
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
    """Returns the C type: u64 becomes __UINT64_TYPE__, also in `const u64 *`; a name alone is a struct's."""
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
    for constant in constants.values:
        literal = f'"{constant.value}"' if isinstance(constant.value, str) else str(constant.value)
        lines += block_comment(constant.doc, "\t" if constants.is_enum else "")
        full = upper(constants.name, constant.name)
        lines.append(f"\t{full} = {literal}," if constants.is_enum else f"#define {full} {literal}")
    return [f"enum {constants.name} {{", *lines, "};"] if constants.is_enum else lines


def _code(code: Code) -> list[str]:
    lines = []
    for instruction in code.instructions:
        lines += block_comment(instruction.doc)
        lines.append(f"#define {upper(code.name, instruction.name)} {instruction.offset}")
    content = ", ".join(f"{byte:#04x}" for byte in code.content)
    return [*lines, f"#define {upper(code.name, 'code')} {content}"]

"""Writes the layouts as Java classes of constants, which javac copies into the classes that use them.

So nothing loads these classes at run time, and no jar has them.
"""

from __future__ import annotations

from collections.abc import Iterable

from description import Bits, Code, Constants, Description, Item, Struct
from text import GENERATED, block_comment, camel

PACKAGE = "io.jprobe.layout"


def java_classes(descriptions: Iterable[Description]) -> dict[str, str]:
    """Returns the content of each source file by its name."""
    classes = {}
    for description in descriptions:
        for item in description.items_for("java"):
            name = f"{camel(item.name)}Layout"
            classes[f"{name}.java"] = "\n".join(
                [
                    f"// {GENERATED.format(source=f'layout/{description.file}.toml')}",
                    f"package {PACKAGE};",
                    "",
                    *block_comment(item.doc, start="/**"),
                    f"public final class {name} {{",
                    *_members(item),
                    "",
                    f"  private {name}() {{}}",
                    "}",
                    "",
                ]
            )
    return classes


def _constant(doc: str, kind: str, name: str, value: str) -> list[str]:
    return [
        "",
        *block_comment(doc, "  ", "/**"),
        f"  public static final {kind} {name.upper()} = {value};",
    ]


def _members(item: Item) -> list[str]:
    if isinstance(item, Struct):
        return _struct(item)
    if isinstance(item, Bits):
        return _bits(item)
    if isinstance(item, Code):
        return []
    return _constants(item)


def _struct(struct: Struct) -> list[str]:
    lines = _constant("Size in bytes.", "int", "size", str(struct.bytes))
    for field in struct.fields:
        if field.is_unused:
            continue
        lines += _constant(f"Offset in bytes. {field.doc}".strip(), "int", field.name, str(field.offset))
        for number, element in enumerate(field.elements):
            offset = field.offset + number * (field.bytes // len(field.elements))
            lines += _constant("Offset in bytes.", "int", element, str(offset))
    return lines


def _bits(bits: Bits) -> list[str]:
    lines = []
    for field in bits.fields:
        lines += _constant(f"Lowest bit. {field.doc}", "int", f"{field.name}_shift", str(field.shift))
        lines += _constant("The value's, after the shift.", "long", f"{field.name}_mask", f"{field.mask:#x}L")
    return lines


def _constants(constants: Constants) -> list[str]:
    lines = []
    for constant in constants.values:
        kind, literal = (
            ("String", f'"{constant.value}"')
            if isinstance(constant.value, str)
            else ("int", str(constant.value))
        )
        lines += _constant(constant.doc, kind, constant.name, literal)
    return lines

"""The descriptions in layout/: what they generate agrees, and what cannot be right is rejected."""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jcollect import layout
from jcollect.layout import record as record_layout
from layout_headers import INCLUDE_LAYOUTS

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "layout"))
description = importlib.import_module("description")
generate = importlib.import_module("generate")

DESCRIPTIONS = description.read_descriptions(ROOT / "layout", ROOT / generate.PROTO)
STRUCTS = [
    (each.file, item)
    for each in DESCRIPTIONS
    for item in each.items_for("python")
    if isinstance(item, description.Struct)
]


def test_what_is_built_was_generated_from_the_descriptions() -> None:
    for file, content in generate.generated_files(ROOT).items():
        assert file.read_text() == content, f"{file} is stale: run make build"
    assert description.digest_of(DESCRIPTIONS) == layout.DIGEST


@pytest.mark.parametrize(("file", "struct"), STRUCTS, ids=[struct.name for _, struct in STRUCTS])
def test_python_has_the_offsets_that_the_c_header_asserts(file: str, struct: description.Struct) -> None:
    module = importlib.import_module(f"jcollect.layout.{file}")
    structure = getattr(module, "".join(part.capitalize() for part in struct.name.split("_")))
    assert ctypes.sizeof(structure) == struct.bytes
    header = (ROOT / generate.HEADERS[0]).read_text()
    assert f'_Static_assert(sizeof(struct {struct.name}) == {struct.bytes}, "{struct.name}");' in header
    for field in struct.fields:
        place = f"__builtin_offsetof(struct {struct.name}, {field.name})"
        assert f"_Static_assert({place} == {field.offset}," in header
        if field.count != 0:
            assert getattr(structure, field.name).offset == field.offset


@pytest.mark.parametrize("options", [["-std=c11", "-Wpedantic"], ["-std=gnu11", "-Wconversion"]])
def test_the_header_compiles_alone_and_its_offsets_hold(options: list[str], tmp_path: Path) -> None:
    """Its own assertions are the test; on a machine with 32-bit pointers they would fail."""
    source = tmp_path / "alone.c"
    source.write_text("#include <jprobe/layout.h>\nint main(void) { return 0; }\n")
    command = ["gcc", *options, "-Wall", "-Wextra", "-Werror", INCLUDE_LAYOUTS, "-fsyntax-only"]
    subprocess.run([*command, source], check=True)


def test_no_class_needs_the_layouts_at_run_time() -> None:
    """Fire is in the boot loader and must not load another class; javac copies constants."""
    with zipfile.ZipFile(ROOT / "java-agent/build/libs/jprobe.jar") as jar:
        names = [name for name in jar.namelist() if name.endswith((".class", ".classdata"))]
        assert any(name.endswith("java/jprobe/Fire.classdata") for name in names)
        assert [name for name in names if "/layout/" in name] == []
        assert [name for name in names if b"io/jprobe/layout/" in jar.read(name)] == []


def test_the_protocol_describes_the_string_word_as_it_is() -> None:
    proto = (ROOT / "proto/jprobe/v1/collector.proto").read_text()
    (said,) = re.findall(r"For VALUE_TYPE_STRING[^:]*?\n(.*?)\n  repeated fixed64 values", proto, re.DOTALL)
    found = [
        (int(first), int(last or first))
        for first, last in re.findall(r"//\s+bits? (\d+)(?:\.\.(\d+))?", said)
    ]
    items = {item.name: item for each in DESCRIPTIONS for item, _ in each.items}
    assert found == [(bit.shift, bit.shift + bit.width - 1) for bit in items["string_word"].fields]


def test_words_are_put_together_and_taken_apart() -> None:
    word = record_layout.pack_cookie(probe=0xFFFFFFFF, words=13, strings=0xFFF)
    assert word >> record_layout.COOKIE_PROBE_SHIFT & record_layout.COOKIE_PROBE_MASK == 0xFFFFFFFF
    assert word >> record_layout.COOKIE_WORDS_SHIFT & record_layout.COOKIE_WORDS_MASK == 13
    assert word >> record_layout.COOKIE_STRINGS_SHIFT & record_layout.COOKIE_STRINGS_MASK == 0xFFF


# Descriptions that cannot be right.


def read(tmp_path: Path, text: str) -> list[description.Description]:
    (tmp_path / "x.toml").write_text('languages = ["c"]\n[x]\ndoc = "A layout."\n' + text)
    return description.read_descriptions(tmp_path, ROOT / generate.PROTO)


def test_a_docs_change_does_not_change_the_digest(tmp_path: Path) -> None:
    text = 'fields = [["a", "u64", "{}"]]'
    one, other = (description.digest_of(read(tmp_path, text.format(doc))) for doc in ("", "Something."))
    assert one == other
    assert description.digest_of(read(tmp_path, 'fields = [["a", "i64", ""]]')) != one


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'fields = [["a", "u32", ""], ["b", "u64", ""]]',
            r"x\.toml: \[x\]: b \(u64\) would be at offset 4, which is not a multiple of 8; move it, or put "
            r"an unused field before it",
        ),
        ('fields = [["a", "u64", ""], ["b", "u32", ""]]', r"has 12 bytes, .* multiple of 8; add an unused"),
        ('fields = [["a", "u32", ""]]\nalign = 64', r"has 4 bytes, which is not a multiple of 64"),
        ('fields = [["a", "u32", ""]]\nword = true', r"has 4 bytes, and a word has 8"),
        ('fields = [["a", "u32", ""], ["a", "u32", ""]]', r"a is there twice"),
        ('fields = [["A", "u32", ""]]', r"'A' is not a name"),
        ('fields = [["size", "u32", ""]]', r"no field can have the name size"),
        ('fields = [["a", "y", ""]]', r"a has the unknown type 'y'; a struct is described before it is used"),
        ('fields = [["a", "u64[]", ""], ["b", "u64", ""]]', r"a has an open number of elements"),
        ('bits = [["a", 40, ""], ["b", 25, ""]]', r"has 65 bits, and a word has 64; make a field narrower"),
        ('bits = [["a", 0, ""]]', r"a has 0 bits"),
        ('proto_enum = "NoSuchEnum"', r"the proto has no enum NoSuchEnum"),
        ("fields = []\nbits = []", r"needs one of fields, bits,"),
        (
            'languages = ["cobol"]\nbits = [["a", 1, ""]]',
            r"unknown language cobol; known are c, java",
        ),
        ("fields = [", r"x\.toml: "),
    ],
)
def test_a_description_that_cannot_be_right_is_rejected(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(description.LayoutError, match=problem):
        read(tmp_path, text)

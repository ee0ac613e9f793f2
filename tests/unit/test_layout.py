"""The code generated from layout/ is consistent, and invalid descriptions are rejected."""

from __future__ import annotations

import ctypes
import importlib
import re
import struct
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


def test_the_built_files_were_generated_from_the_descriptions() -> None:
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
        expression = f"__builtin_offsetof(struct {struct.name}, {field.name})"
        assert f"_Static_assert({expression} == {field.offset}," in header
        if field.count != 0:
            assert getattr(structure, field.name).offset == field.offset


@pytest.mark.parametrize("options", [["-std=c11", "-Wpedantic"], ["-std=gnu11", "-Wconversion"]])
def test_the_header_compiles_on_its_own_and_its_offsets_are_right(options: list[str], tmp_path: Path) -> None:
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
        using = [name for name in names if b"io/jprobe/layout/" in jar.read(name)]
        assert len(using) > 10
        for name in using:
            assert members_of_layouts(jar.read(name)) == [], name


def members_of_layouts(class_file: bytes) -> list[str]:
    """Returns the layouts whose fields or methods a class uses at run time.

    javac copies a constant, and leaves an entry for its class that nothing refers to.
    """
    sizes = dict.fromkeys((3, 4, 9, 10, 11, 12, 17, 18), 4)
    sizes |= dict.fromkeys((7, 8, 16, 19, 20), 2) | {5: 8, 6: 8, 15: 3}
    texts: dict[int, str] = {}
    classes: dict[int, int] = {}
    owners = []
    (count,) = struct.unpack_from(">H", class_file, 8)
    at, number = 10, 1
    while number < count:
        tag = class_file[at]
        (first,) = struct.unpack_from(">H", class_file, at + 1)
        if tag == 1:
            texts[number] = class_file[at + 3 : at + 3 + first].decode(errors="replace")
            at += 3 + first
        else:
            if tag == 7:
                classes[number] = first
            elif tag in (9, 10, 11):
                owners.append(first)
            at += 1 + sizes[tag]
        # Numbers of 64 bits count twice.
        number += 2 if tag in (5, 6) else 1
    names = [texts[classes[owner]] for owner in owners]
    return [name for name in names if name.startswith("io/jprobe/layout/")]


def test_the_protocol_describes_the_string_word_as_it_is() -> None:
    proto = (ROOT / "proto/jprobe/v1/collector.proto").read_text()
    (said,) = re.findall(r"For VALUE_TYPE_STRING[^:]*?\n(.*?)\n  repeated fixed64 values", proto, re.DOTALL)
    found = [
        (int(first), int(last or first))
        for first, last in re.findall(r"//\s+bits? (\d+)(?:\.\.(\d+))?", said)
    ]
    items = {item.name: item for each in DESCRIPTIONS for item, _ in each.items}
    assert found == [(bit.shift, bit.shift + bit.width - 1) for bit in items["string_word"].fields]


def test_words_are_composed_and_decomposed() -> None:
    word = record_layout.pack_cookie(probe=0xFFFFFFFF, words=13, strings=0xFFF, timed=1)
    assert word >> record_layout.COOKIE_PROBE_SHIFT & record_layout.COOKIE_PROBE_MASK == 0xFFFFFFFF
    assert word >> record_layout.COOKIE_WORDS_SHIFT & record_layout.COOKIE_WORDS_MASK == 13
    assert word >> record_layout.COOKIE_STRINGS_SHIFT & record_layout.COOKIE_STRINGS_MASK == 0xFFF
    assert word >> record_layout.COOKIE_TIMED_SHIFT & record_layout.COOKIE_TIMED_MASK == 1


# No source repeats an offset.

# A pattern for each way to repeat one, with an example.
TYPED_AGAIN = {
    r"[\"']\.jprobe\.(gates|state|manifest)": '".jprobe.gates"',
    r"[\"']jprobe_(stubs|semaphores|states|gates)": '"jprobe_gates"',
    r"[<\"']QIIIHH|[<\"']8Q[\"']": 'struct.Struct("<QIIIHH")',
    r"(PRESENT|UNREADABLE|CUT|THREW)\w*[= (]+1U?L* *<< *\d+": "CUT = 1 << 34",
    r"(?i)(present|unreadable|cut|threw)_shift\w* *[= (]+ *\d+": "#define STRING_CUT_SHIFT 34",
    r"(?i)(words|strings|cookie)\b[^\n]{0,12} *(<<|>>) *3[0-9]\b": "probe.words << 32",
    r"(?i)(gate|slot|stub|record|cookie|semaphore)_(size|bytes|words)\w* *[= ] *\d+": "GATE_SIZE = 192",
    r"\b(192|24|32) \* *(slot|method|index|gate|number|i)\b": "gates[24 * method]",
    r"(?i)gate_?word\((\d+, *)?\d+\)": "library.gateWord(0, 3)",
    r"(?i)0x90, *0x0f, *0x1f|900f1f": "0x90, 0x0f, 0x1f",
    r"(?i)\b(int|long|define) +(every|seen|window|filtered)\b *=? *\d+": "int EVERY = 8;",
    r"(?i)\bstate_(dormant|arming|armed|failed|retired|throttled|waiting)\b *=? *\d": "#define STATE_ARMED 3",
}
SOURCES = {
    file: file.read_text()
    for folder in ("collector", "java-agent/src", "bpf", "tests", "bench")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in (".py", ".c", ".h", ".java")
    and "_pb2" not in file.name
    and not {"layout", "__pycache__"} & set(file.relative_to(ROOT).parts)
    # The generated files, and the tests that state layouts in order to change them.
    and file.name not in ("layout.h", "test_layout.py", "test_moved_layouts.py")
}


@pytest.mark.parametrize(("pattern", "example"), TYPED_AGAIN.items())
def test_no_source_types_a_layout_again(pattern: str, example: str) -> None:
    typed = re.compile(pattern, re.MULTILINE)
    assert typed.search(example)
    assert len(SOURCES) > 500
    for file, text in SOURCES.items():
        found = typed.search(text)
        assert not found, f"{file} has {found[0]!r}: take it from layout/"


# Invalid descriptions


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

"""Reads sound and broken stub libraries."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from jcollect.errors import JcollectError
from jcollect.layout.stub_library import (
    DIRECT_SEMAPHORES_COUNT,
    DIRECT_SEMAPHORES_EVENT,
    DIRECT_SEMAPHORES_SIZE,
    SECTION_GATES,
    SLOT_BYTES,
    SLOT_SEMAPHORE_BYTES,
    STUB_LIBRARY_VERSION,
)
from jcollect.probes.direct_site import DirectSink, direct_site
from jcollect.probes.faults import Faults
from jcollect.probes.probe import narrow, probes_of
from jcollect.probes.scan import scan_traceable
from jcollect.probes.stub_library import (
    MalformedLibraryError,
    StubLibrary,
    find_stub_mappings,
    is_stub_path,
    parse_stub_image,
    read_stub_library,
)
from jcollect.probes.usdt_notes import parse_notes
from jcollect.procfs.maps import Mapping, parse_maps
from processes import closed, opened, ourselves
from stub_image import ABSENT, BOOLEAN, ENTRY, INT, LONG, STRING, Method, StubImage, captured, mark, own_image

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
CLOSE = Method("com.acme.Orders", "close", (), None, "()V")
INNER = Method("com.acme.Orders$Line", "<init>", (INT,), None, "(I)V")


def library(image: StubImage) -> StubLibrary:
    return StubLibrary(closed(4711), "/tmp/jprobe-4711/1.so", 0x7F0000000000, parse_stub_image(image.build()))


def test_every_probe_is_read_with_its_names_types_and_addresses() -> None:
    probes = probes_of([library(StubImage([PLACE, CLOSE, INNER]))])
    assert [(number, p.provider, p.name) for number, p in enumerate(probes)] == [
        (0, "com_acme_Orders", "place__entry"),
        (1, "com_acme_Orders", "place__return"),
        (2, "com_acme_Orders", "place__throw"),
        (3, "com_acme_Orders", "close__entry"),
        (4, "com_acme_Orders", "close__return"),
        (5, "com_acme_Orders", "close__throw"),
        (6, "com_acme_Orders_Line", "init__entry"),
        (7, "com_acme_Orders_Line", "init__return"),
        (8, "com_acme_Orders_Line", "init__throw"),
    ]
    entry, back, throw = probes[:3]
    assert (entry.site.words, entry.site.string_mask, entry.first_value) == (3, 0b010, 0)
    assert (back.site.words, back.site.string_mask, back.first_value) == (3, 0, 1)
    assert (throw.site.words, throw.site.string_mask, throw.first_value) == (3, 0b010, 1)
    assert [v.java_type for v in entry.values] == ["long", "java.lang.String"]
    assert [v.name for v in throw.values] == ["exception"]
    assert probes[4].values == ()
    locations, semaphores = [p.site.location for p in probes], [p.site.semaphore for p in probes]
    assert [each - locations[0] for each in locations] == [SLOT_BYTES * i for i in range(9)]
    assert [each - semaphores[0] for each in semaphores] == [SLOT_SEMAPHORE_BYTES * i for i in range(9)]


def test_each_direct_semaphore_has_an_instruction_of_the_stub_that_is_never_executed() -> None:
    content = StubImage([PLACE, CLOSE]).build()
    image = parse_stub_image(content)
    probes = probes_of([library(StubImage([PLACE, CLOSE]))])
    locations = set()
    for number, probe in enumerate(probes):
        for sink, offset in (
            (DirectSink.EVENT, DIRECT_SEMAPHORES_EVENT),
            (DirectSink.COUNT, DIRECT_SEMAPHORES_COUNT),
        ):
            site = direct_site(probe, sink)
            assert site is not None
            assert site.semaphore == image.direct.address + DIRECT_SEMAPHORES_SIZE * number + offset
            slot = image.text.address + SLOT_BYTES * number
            assert slot < site.location < slot + SLOT_BYTES
            code = content[slot : site.location]
            assert code.endswith((b"\xc3", b"\xc3\x90"))
            locations.add(site.location)
    assert len(locations) == 2 * len(probes)


def test_a_mark_has_no_direct_semaphores() -> None:
    (probe,) = probes_of([library(own_image(mark("com_acme", "tick", LONG)))])
    assert direct_site(probe, DirectSink.COUNT) is None


def test_notes_are_matched_by_address_and_not_by_order() -> None:
    image = StubImage([PLACE, CLOSE])
    forwards = [(p.name, p.site.location) for p in probes_of([library(image)])]
    image.reverse_notes = True
    assert [(p.name, p.site.location) for p in probes_of([library(image)])] == forwards


def test_generation_0_has_no_probes_but_selectors() -> None:
    empty = library(StubImage([], generation=0, selectors=["org.h2.**#*"]))
    assert probes_of([empty]) == []
    assert list(empty.image.manifest.selectors) == ["org.h2.**#*"]


def test_a_layout_of_another_version_is_refused() -> None:
    with pytest.raises(
        MalformedLibraryError, match=f"version 2, and this jcollect reads {STUB_LIBRARY_VERSION}"
    ):
        parse_stub_image(StubImage([PLACE], version=2).build())


def test_captured_values_come_after_the_values_that_a_probe_always_passes() -> None:
    asked = (captured("id", LONG), captured("city", STRING), ABSENT)
    method = Method("com.acme.Orders", "place", (LONG,), BOOLEAN, captures=asked, condition="when id > 5")
    void = Method("com.acme.Orders", "close", captures=asked)
    probes = probes_of([library(StubImage([method, void]))])
    assert [[v.name for v in probe.values] for probe in probes] == [
        ["id", "city", "absent"],
        ["return", "id", "city", "absent"],
        ["exception", "id", "city", "absent"],
        ["id", "city", "absent"],
        ["id", "city", "absent"],
        ["exception", "id", "city", "absent"],
    ]
    assert [probe.site.words for probe in probes] == [4, 6, 6, 4, 5, 6]
    assert [probe.site.string_mask for probe in probes] == [0b10, 0b1000, 0b1010, 0b10, 0b100, 0b1010]
    assert [probe.condition for probe in probes] == ["when id > 5"] * 3 + [""] * 3


def test_two_overloads_of_one_name_affect_no_other_probe() -> None:
    """The manifest has the names that agents wrote when names could collide: f(), f(int) and f__2()."""
    methods = [Method("a.B", name) for name in ("f", "f__2", "f__2", "g")]
    image = parse_stub_image(StubImage(methods).build())
    probes = probes_of([StubLibrary(closed(1), "/x", 0, image)])
    names = [f"{name}__{kind}" for name in ("f", "f__2", "g") for kind in ("entry", "return", "throw")]
    assert [probe.name for probe in probes] == names
    assert [probe.slot.gate for probe in probes] == [0] * 3 + [1] * 3 + [3] * 3
    assert [probe for probe, _ in image.faults.first] == [
        f"a_B:f__2__{kind}" for kind in ("entry", "return", "throw")
    ]


def test_names_are_as_long_as_class_files_allow() -> None:
    longest = "m" * 65_535
    image = parse_stub_image(StubImage([Method("c" * 65_535, longest + "__131072")]).build())
    names = [probe.name for probe in probes_of([StubLibrary(closed(1), "/x", 0, image)])]
    assert names == [f"{longest}__131072__{kind}" for kind in ("entry", "return", "throw")]


def test_a_stub_with_more_than_thirteen_words_is_skipped() -> None:
    methods = [
        Method("a.B", "most", (LONG,) * 12, kinds=(ENTRY,)),
        Method("a.B", "more", (LONG,) * 13, kinds=(ENTRY,)),
        Method("a.B", "ends", captures=(captured("x", LONG),) * 11),
        Method("a.B", "void", captures=(captured("x", LONG),) * 12),
    ]
    probes = probes_of([library(StubImage(methods))])
    # Includes the duration, and a throw's exception.
    assert [(p.name, p.site.words) for p in probes] == [
        ("most__entry", 13),
        ("ends__entry", 12),
        ("ends__return", 13),
        ("void__entry", 13),
    ]


@pytest.mark.parametrize("size", [0, 191, 383])
def test_a_library_with_missing_gates_is_rejected(size: int) -> None:
    with pytest.raises(MalformedLibraryError, match=r"\.jprobe\.gates is too small for 2 methods"):
        parse_stub_image(StubImage([PLACE, CLOSE], gate_bytes=size).build())


def test_a_library_without_gates_is_refused() -> None:
    content = StubImage([PLACE]).build().replace(SECTION_GATES.encode(), b".jprobe.gotes")
    with pytest.raises(MalformedLibraryError, match=r"no section \.jprobe\.gates"):
        parse_stub_image(content)


def test_truncated_libraries_are_refused_and_never_crash_the_reader() -> None:
    content = StubImage([PLACE, CLOSE]).build()
    for size in [*range(0, 4096, 61), *range(65000, len(content), 17)]:
        with pytest.raises(MalformedLibraryError):
            parse_stub_image(content[:size])


def test_corrupted_bytes_are_read_or_rejected_but_never_crash_the_reader() -> None:
    content = StubImage([PLACE, CLOSE]).build()
    dice = random.Random(7919)
    offsets = [*range(448), *range(65536, len(content))]
    for _ in range(997):
        corrupted = bytearray(content)
        for _ in range(dice.choice((1, 3, 31))):
            corrupted[dice.choice(offsets)] = dice.randrange(256)
        try:
            image = parse_stub_image(bytes(corrupted))
        except MalformedLibraryError:
            continue
        probes_of([StubLibrary(closed(1), "", 0, image)])


def test_an_invalid_manifest_is_rejected() -> None:
    with pytest.raises(MalformedLibraryError, match="manifest"):
        parse_stub_image(StubImage([PLACE], manifest_bytes=b"\xff" * 40).build())


def test_six_thousand_notes_are_parsed_in_well_under_a_tenth_of_a_second() -> None:
    methods = [Method(f"com.acme.C{i // 20}", f"m{i}", (LONG,), LONG) for i in range(2000)]
    content = StubImage(methods).build()
    image = parse_stub_image(content)
    assert len(image.notes) == 6000
    section = content[content.index(b"stapsdt\0") - 12 :]
    best = 1.0
    for _ in range(3):
        begun = time.process_time()
        notes = [note for _, note in zip(range(6000), parse_notes(section, Faults()), strict=False)]
        best = min(best, time.process_time() - begun)
    assert len(notes) == 6000
    assert best < 0.1


MAPS = """\
00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/java
7f0000000000-7f0000001000 r-xp 00000000 08:02 42  /tmp/x y/jprobe-4711/1.so
7f0000010000-7f0000011000 rw-p 00010000 08:02 42  /tmp/x y/jprobe-4711/1.so
7f0000020000-7f0000021000 rw-p 00000000 00:00 0 \n\
7f0000030000-7f0000031000 r-xp 00000000 00:01 7   /memfd:jprobe-0 (deleted)
7f0000040000-7f0000041000 r-xp 00000000 08:02 43  /tmp/jprobe-4711-0123456789abcdef/3.so (deleted)
7f0000050000-7f0000051000 ---p 00001000 08:02 44  /tmp/jprobe-4711-0123456789abcdef/4.so (deleted)
7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0   [stack]
"""


def test_maps_lines_are_parsed_and_stub_libraries_found_once_each() -> None:
    stubs = find_stub_mappings(list(parse_maps(MAPS)))
    assert [(s.path, s.start, s.deleted, s.file) for s in stubs] == [
        ("/tmp/x y/jprobe-4711/1.so", 0x7F0000000000, False, (8, 2, 42)),
        ("/memfd:jprobe-0", 0x7F0000030000, True, (0, 1, 7)),
        ("/tmp/jprobe-4711-0123456789abcdef/3.so", 0x7F0000040000, True, (8, 2, 43)),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/tmp/jprobe-1/x.so",
        "/tmp/jprobe-/1.so",
        "/tmp/jprobe-1-/1.so",
        "/tmp/jprobe-1-0123456789abcdef0/1.so",
        "/tmp/jprobe-1-0123456789ABCDEF/1.so",
        "/tmp/.jprobe-1-0123456789abcdef/1.so",
        "/tmp/jprobe-1/1.so.bak",
        "/tmp/myjprobe.so",
        "/memfd:jprobe",
        "/memfd:other-0",
        "/tmp/jprobe-1/1/2.so",
    ],
)
def test_other_paths_are_not_treated_as_stub_libraries(path: str) -> None:
    assert not is_stub_path(path)


def test_a_file_of_the_same_name_that_is_not_the_mapped_one_is_not_opened(tmp_path: Path) -> None:
    impostor = tmp_path / "jprobe-1" / "1.so"
    impostor.parent.mkdir()
    impostor.write_bytes(StubImage([CLOSE]).build())
    mapping = Mapping(0x1000, 0x2000, "r-xp", 0, 8, 2, 999_999_999, str(impostor), False)
    with pytest.raises(FileNotFoundError):
        read_stub_library(ourselves(), mapping)


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("com_acme_Orders:place__entry", ["place__entry"]),
        ("*__throw", ["place__throw", "close__throw", "init__throw"]),
        ("com.acme.Orders", ["place__entry", "place__return", "place__throw"] + ["close__entry"] * 0),
        ("com.acme.Orders#cl*", ["close__entry", "close__return", "close__throw"]),
        ("<init>", ["init__entry", "init__return", "init__throw"]),
        ("Place*", []),
        ("[", []),
    ],
)
def test_globs_match_usdt_names_classes_and_methods(glob: str, names: list[str]) -> None:
    probes = probes_of([library(StubImage([PLACE, CLOSE, INNER]))])
    found = narrow(probes, [glob])
    if glob == "com.acme.Orders":
        assert {p.class_name for p in found} == {"com.acme.Orders"}
        assert len(found) == 6
    else:
        assert [p.name for p in found] == names


def test_a_process_that_is_no_jvm_is_named() -> None:
    with pytest.raises(JcollectError, match=rf"PID {os.getpid()} \(.*\) is not a JVM"):
        scan_traceable(opened(os.getpid()))

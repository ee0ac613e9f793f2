"""Readers accept or reject whatever bytes a target writes, in bounded CPU time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostile import READERS
from stub_image import ABSENT, BOOLEAN, INT, LONG, STRING, Method, StubImage, captured, mark, own_image

CORPUS = Path(__file__).parents[1] / "corpus"
# An input of these sizes needs a few milliseconds; the rest is for a busy machine.
MOST_SECONDS = 2.0

# All examples of a test together need two to three seconds.
FEW = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=1500)

METHODS = [
    Method("a.B", "m", (LONG, STRING), BOOLEAN, "(J)Z"),
    Method("a.B", "<init>", captures=(captured("x", INT), ABSENT), condition="when x > 1"),
]
SOUND = StubImage(METHODS).build()
OWN = own_image(mark("p", "q", LONG), mark("p", "r")).build()
NOTES_AT = SOUND.index(b"stapsdt\0") - 12
NOTES = SOUND[NOTES_AT : SOUND.index(StubImage(METHODS).manifest().SerializeToString())]
HEADERS_AT = int.from_bytes(SOUND[40:48], "little")
# The library without the gap between its two segments.
OFFSETS = [*range(0, 1200), *range(65536, len(SOUND))]
EXTREMES = [0, 1, 2, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


def read(reader: str, content: bytes) -> None:
    begun = time.process_time()
    READERS[reader](content)
    assert time.process_time() - begun < MOST_SECONDS


@pytest.mark.parametrize(
    "file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_inputs_of_the_corpus_are_read_or_rejected(file: Path) -> None:
    read(file.parent.name, file.read_bytes())


@pytest.mark.parametrize("reader", READERS)
@FEW
@given(content=st.binary(max_size=2000))
def test_bytes_of_any_kind(reader: str, content: bytes) -> None:
    read(reader, content)


@MANY
@given(
    content=st.sampled_from([SOUND, OWN]),
    changes=st.lists(st.tuples(st.sampled_from(OFFSETS), st.binary(min_size=1, max_size=9)), max_size=8),
    size=st.one_of(st.none(), st.integers(0, len(SOUND))),
)
def test_sound_libraries_with_bytes_changed_or_cut_off(
    content: bytes, changes: list[tuple[int, bytes]], size: int | None
) -> None:
    corrupted = bytearray(content)
    for at, new in changes:
        corrupted[at : at + len(new)] = new
    read("library", bytes(corrupted[:size]))


@MANY
@given(
    fields=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 63), st.integers(HEADERS_AT, len(SOUND) - 1)),
            st.sampled_from([1, 2, 4, 8]),
            st.one_of(st.sampled_from(EXTREMES), st.integers(0, len(SOUND) + 8)),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_headers_with_extreme_numbers(fields: list[tuple[int, int, int]]) -> None:
    corrupted = bytearray(SOUND)
    for at, size, number in fields:
        at -= at % size
        corrupted[at : at + size] = (number % 256**size).to_bytes(size, "little")
    read("library", bytes(corrupted))


def field(number: int, content: bytes) -> bytes:
    """Returns a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


SCALARS = st.builds(
    lambda number, value: varint(number << 3) + varint(value),
    st.integers(1, 9),
    st.sampled_from(EXTREMES),
)
TEXTS = st.builds(
    field, st.integers(1, 9), st.one_of(st.text(max_size=9).map(str.encode), st.binary(max_size=9))
)
MESSAGES = st.recursive(
    st.one_of(SCALARS, TEXTS),
    lambda inner: st.builds(
        lambda number, parts: field(number, b"".join(parts)),
        st.sampled_from([3, 4, 5, 6, 7]),
        st.lists(inner, max_size=5),
    ),
    max_leaves=20,
)


@settings(FEW, max_examples=300)
@given(parts=st.lists(MESSAGES, max_size=8))
def test_manifests_of_any_fields(parts: list[bytes]) -> None:
    manifest = b"\x08\x03" + b"".join(parts)
    read("manifest", manifest)
    read("library", StubImage(METHODS, manifest_bytes=manifest).build())


@settings(FEW, max_examples=500)
@given(
    words=st.lists(
        st.tuples(st.integers(0, len(NOTES) // 4 - 1), st.sampled_from(EXTREMES)), min_size=1, max_size=4
    )
)
def test_notes_with_changed_words(words: list[tuple[int, int]]) -> None:
    section = bytearray(NOTES)
    for at, number in words:
        section[4 * at : 4 * at + 4] = (number % 2**32).to_bytes(4, "little")
    read("notes", bytes(section))


LINES = st.builds(
    "{:x}-{:x} {} {:08x} {:02x}:{:02x} {} {}".format,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from(["r-xp", "---p", "rw-s", "????", "r-x"]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 4095),
    st.integers(0, 2**20),
    st.one_of(st.integers(0, 2**64 - 1).map(str), st.just("9" * 5000)),
    st.one_of(
        st.text(max_size=20),
        st.builds("{}/jprobe-{}/{}.so{}".format, st.text(max_size=9), st.integers(), st.integers(),
                  st.sampled_from(["", " (deleted)", "\\012", " (deleted) (deleted)"])),
        st.just("/memfd:jprobe-0 (deleted)"),
    ),
)  # fmt: skip


@FEW
@given(lines=st.lists(LINES, max_size=20))
def test_memory_maps_of_any_lines(lines: list[str]) -> None:
    read("maps", "\n".join(lines).encode(errors="surrogatepass"))

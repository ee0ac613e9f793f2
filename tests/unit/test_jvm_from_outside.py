"""Reads facts about a JVM from outside: argument files, command lines, hsperfdata; sound and broken."""

from __future__ import annotations

import struct

import pytest

from jcollect.procfs.hsperfdata import texts_of
from jcollect.procfs.java_command import main_class, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("-cp a:b Main\n", ["-cp", "a:b", "Main"]),
        ("# all of it\n  -cp x # and here\r\nMain", ["-cp", "x", "Main"]),
        ("-cp \"C:\\\\x y\" 'it is'", ["-cp", "C:\\x y", "it is"]),
        ("-cp a\\b", ["-cp", "a\\b"]),
        ('"a\\\n   b" c', ["ab", "c"]),
        ('a"b c"d "" e', ["ab cd", "", "e"]),
        ('"not closed\nnext', ["not closed", "next"]),
        ("a#b", ["a#b"]),
        ('"\\', [""]),
    ],
)
def test_words_of_an_argument_file(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


FILES = {"args": "-cp x", "main": "-cp x a.Main", "jar": "-jar", "nested": "@args a.Main"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a.Main", "a.Main"),
        ("-Xmx1g -cp x a.Main y", "a.Main"),
        ("--class-path=x --add-opens a/b=c a.Main", "a.Main"),
        ("-Dx=y -jar /a/b.jar c", "/a/b.jar"),
        ("-p x -m mod/a.Main", "mod/a.Main"),
        ("--module-path x --module mod", "mod"),
        ("--module=mod/a.Main", "mod/a.Main"),
        ("@args a.Main", "a.Main"),
        ("@main x", "a.Main"),
        ("@jar b.jar", "b.jar"),
        ("@nowhere a.Main", "@nowhere"),
        ("@@odd", "@odd"),
        ("--disable-@files @args", "@args"),
        ("-version", ""),
        ("-cp", ""),
        ("-jar", ""),
        ("", ""),
    ],
)
def test_main_class_of_a_command_line(line: str, name: str) -> None:
    def read(path: str) -> str:
        if path not in FILES:
            raise FileNotFoundError(path)
        return FILES[path]

    assert main_class(line.split(), read) == name


def perf_data(texts: dict[str, str], at: int = 32, **fields: int) -> bytes:
    entries = b""
    for name, text in texts.items():
        key, value = name.encode() + b"\0", text.encode() + b"\0"
        length = 20 + len(key) + len(value)
        entries += (
            struct.pack("<iiicBBBi", length, 20, len(value), b"B", 0, 5, 1, 20 + len(key)) + key + value
        )
    order, version, count = (fields.get(name, usual) for name, usual in
                             (("order", 1), ("version", 2), ("count", len(texts))))  # fmt: skip
    prologue = struct.pack("<4sBBBBiiqii", b"\xca\xfe\xc0\xc0", order, version, 0, 1, 0, 0, 0, at, count)
    return prologue + entries


TEXTS = {"sun.rt.javaCommand": "a.Main x y", "java.property.java.version": "17.0.15"}


def test_texts_of_perf_data() -> None:
    assert texts_of(perf_data(TEXTS)) == TEXTS
    assert texts_of(perf_data({"x": "żółć"})) == {"x": "żółć"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xca\xfe\xc0\xc0",
        perf_data(TEXTS)[1:],
        perf_data(TEXTS, order=0),
        perf_data(TEXTS, version=1),
        perf_data(TEXTS, at=-1),
        perf_data(TEXTS, at=2**31 - 1),
        perf_data(TEXTS, count=-5),
        perf_data(TEXTS)[:32] + bytes(1000),
    ],
)
def test_invalid_perf_data_has_no_texts(content: bytes) -> None:
    assert texts_of(content) == {}


def test_truncated_or_misplaced_entries_are_skipped() -> None:
    content = perf_data(TEXTS, count=2**31 - 1)
    for size in range(len(content)):
        assert len(texts_of(content[:size])) <= 2
    assert texts_of(content[:100])["sun.rt.javaCommand"] == "a.Main x y"
    for offset in range(32, 52):
        texts_of(content[:offset] + b"\xff" + content[offset + 1 :])

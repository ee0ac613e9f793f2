"""Escapes untrusted text for terminals, and as JSON that decodes to the same text."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from jcollect.cli.output import json_bytes
from jcollect.cli.tables import print_table
from jcollect.printable import json_text, printable

BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
SEPARATORS = "\u2028\u2029"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff\ufff9\U000e0001\U000e0041\U0001d173"
SURROGATES = "\ud83e\udc80"
DANGEROUS = CONTROLS + BIDIRECTIONAL + SEPARATORS + INVISIBLE + SURROGATES
ORDINARY = "zażółć 🦆 日本語 اردو हिन्दी ½ “x” a\u00a0b\u3000c e\u0301"


@pytest.mark.parametrize("character", DANGEROUS, ids=lambda character: f"U+{ord(character):04X}")
def test_terminal_control_characters_are_escaped_everywhere(character: str) -> None:
    text = f"a{character}b"
    for shown in (printable(text), json_text(text), json_bytes({text: [text]}).decode().replace("\n", "")):
        assert character not in shown
        assert shown.isprintable()
    assert printable(text) == f"a{ascii(character)[1:-1]}b"
    assert json.loads(json_text(text)) == text
    assert json.loads(json_bytes({text: [text]})) == {text: [text]}


def test_ordinary_text_of_any_language_stays_readable() -> None:
    assert printable(ORDINARY) == ORDINARY
    assert json_text(ORDINARY) == f'"{ORDINARY}"'


def test_a_line_of_json_has_no_spaces_and_a_page_of_it_has_lines() -> None:
    assert json_text({"a": [1, '\x1b\\"']}) == '{"a":[1,"\\u001b\\\\\\""]}'
    assert json_bytes({"a": ["x\n"]}) == b'{\n  "a": [\n    "x\\n"\n  ]\n}'


def test_untrusted_cells_do_not_break_the_layout_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("\x1b[2J\n\u202e", "x"), ("b", "\ufeffy")])
    assert capsys.readouterr().out.splitlines() == [
        "A                B",
        "\\x1b[2J\\n\\u202e  x",
        "b                \\ufeffy",
    ]


@pytest.mark.parametrize("text", ["\x80" * 100_000, "a\x80" * 50_000, "\u202e\n" * 50_000])
def test_no_object_is_made_for_each_character(text: str) -> None:
    for shown in (printable, json_text):
        tracemalloc.start()
        try:
            shown(text)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 3_000_000

"""Compares the lines of whole batches with those of a simple implementation, which formats row by row."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable

import numpy as np
import pytest

from jcollect.layout.stub_library import pack_absence
from jcollect.sources.columns import Columns
from jcollect.view import lines as lines_module
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter
from jprobe.v1 import collector_pb2, probe_pb2
from ring_image import string
from row_formats import compact_line, json_line
from rows import Row, RowDecoder

ENTRY, RETURN, THROW, MARK, LATER_KIND = 1, 2, 3, 4, 99
BOOLEAN, LONG, CHAR, FLOAT, DOUBLE, STRING, REFERENCE, ABSENCE, UNSIGNED, LATER_TYPE = (
    1, 5, 6, 7, 8, 9, 10, 11, 12, 77,
)  # fmt: skip
NASTY = (
    "", "abc", "select * from t", '"', "\\", "a\nb\t\x00", "zażółć", "\x9b31m", "\u202e", "\U000e0041",
    "%d %s", "42", "-1.5", "true", "NaN", "'x'", '"quoted"', "PAID", "\xa0\u3000", "\U0001f600",
)  # fmt: skip
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202e\U000e0041]")
FORMATS: dict[str, tuple[str, bool, Callable[[Row], str]]] = {
    "json": ("json", False, json_line),
    "json-strings": ("json", True, lambda row: json_line(row, quotes_64_bits=True)),
    "compact": ("compact", False, compact_line),
}


class Batches:
    """Makes random probes, and random batches of their events."""

    def __init__(self, seed: int, texts: tuple[str, ...] = NASTY) -> None:
        self.dice = random.Random(seed)
        self.texts = texts
        self.probes = [self.probe(number) for number in range(40)]

    def probe(self, number: int) -> collector_pb2.Probe:
        dice = self.dice
        kind = dice.choice((ENTRY, RETURN, THROW, MARK))
        values = [
            probe_pb2.Value(
                name=dice.choice(("id", "name", "x y", '"', "\x1b")) + dice.choice("abcdefgh"),
                java_type=dice.choice(("uint8", "uint64", "java.util.List", "\x9b[]", 'a"b')),
                type=dice.choice((*range(1, 11), UNSIGNED, STRING, LATER_TYPE)),  # type: ignore[arg-type]
                path=dice.choice(("", "arg0.id")),
                rendered=dice.random() < 0.3,
            )
            for _ in range(dice.randrange(6))
        ]
        if dice.random() < 0.5:
            values.append(probe_pb2.Value(name="absent", type=probe_pb2.VALUE_TYPE_ABSENCE))
        return collector_pb2.Probe(
            id=number,
            pid=dice.choice((1, 4711)),
            provider=dice.choice(("com_acme_Orders", "a\x9bb")),
            name=f"place__{number}",
            kind=kind,  # type: ignore[arg-type]
            class_name=dice.choice(("com.acme.Orders", "c%d", 'c"', "Żółw")),
            method=dice.choice(("place", "<init>", "pl\u202eace")),
            method_descriptor=dice.choice(("()V", "(J)J")),
            values=values,
        )

    def columns(self, count: int) -> Columns:
        ids = [self.dice.randrange(len(self.probes)) for _ in range(count)]
        words: list[int] = []
        text = b""
        for number in ids:
            for value in self.probes[number].values:
                word, more = self.word(value.type)
                words.append(word)
                text += more
        dice = np.random.default_rng(self.dice.randrange(1 << 30))
        u64 = np.uint64
        durations = (2.0 ** dice.uniform(0, 45, count)).astype(u64)
        for at, exact in enumerate((0, 999, 1000, 99_949, 99_950, 999_499, 999_500, 10**9 - 500_000)[:count]):
            durations[at] = exact
        return Columns(
            seq=np.arange(count, dtype=u64) + u64(self.dice.randrange(1 << 60)),
            time_unix_nanos=u64(1_795_341_599_900_000_000) + np.sort(dice.integers(0, 2 * 10**8, count, u64)),
            probe=np.array(ids, np.uint32),
            tid=dice.integers(1, 1 << 22, count, np.uint32),
            thread=dice.integers(0, 1 << 63, count, u64),
            duration_nanos=durations,
            values=np.array(words, u64),
            text=text,
            start_unix_nanos=dice.integers(0, 1 << 62, count, u64) * dice.integers(0, 2, count, u64),
        )

    def word(self, value_type: int) -> tuple[int, bytes]:
        dice = self.dice
        if value_type == STRING:
            text = dice.choice(self.texts).encode() + dice.choice((b"", b"", b"\xff"))
            how = dice.randrange(8)
            if how == 0:
                return 0, b""
            return string(len(text), cut=how == 1, unreadable=how == 2), text
        if value_type == ABSENCE:
            masks = (0, 0, pack_absence(null=1, threw=2), pack_absence(null=3, threw=1), dice.getrandbits(32))
            return dice.choice(masks), b""
        if value_type == FLOAT:
            return dice.getrandbits(32) if dice.random() < 0.5 else struct.unpack(
                "<I", struct.pack("<f", dice.random())
            )[0], b""
        if value_type == DOUBLE and dice.random() < 0.5:
            return struct.unpack("<Q", struct.pack("<d", dice.uniform(-1e20, 1e20)))[0], b""
        if value_type == CHAR:
            return dice.getrandbits(17), b""
        return dice.choice((0, 1, dice.getrandbits(64), dice.getrandbits(32))), b""


def formatted(name: str, probes: list[collector_pb2.Probe], columns: Columns) -> list[str]:
    output, quotes, _ = FORMATS[name]
    formatter = LineFormatter(line_format(output, quotes))
    formatter.add(probes)
    return [line for lines in formatter.lines(columns) for line in lines]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("texts", [NASTY, ("abc", "x"), ('q"', "plain")], ids=["nasty", "plain", "quotes"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_has_the_lines_of_its_rows(
    name: str, texts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "_MOST_EVENTS", 101)
    for seed in range(7):
        batches = Batches(seed, texts)
        columns = batches.columns(331)
        rows = RowDecoder(batches.probes).rows(columns)
        expected = [FORMATS[name][2](row) for row in rows]
        found = formatted(name, batches.probes, columns)
        for line, other in zip(found, expected, strict=True):
            assert line == other
            assert not CONTROLS.search(line)
            if name != "compact":
                json.loads(line)

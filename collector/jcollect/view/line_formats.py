"""The formats of `-o`."""

from __future__ import annotations

from jcollect.view.compact_lines import CompactLines
from jcollect.view.json_lines import JsonLines
from jcollect.view.lines import LineFormat

NAMES = ("json", "compact")


def line_format(name: str, quotes_64_bits: bool = False, columns: int | None = None) -> LineFormat:
    """Returns the format of one of the NAMES. With `quotes_64_bits`, 64-bit numbers are strings in JSON.
    `columns` is the width of the terminal; None for no terminal."""
    return JsonLines(quotes_64_bits) if name == "json" else CompactLines(columns)

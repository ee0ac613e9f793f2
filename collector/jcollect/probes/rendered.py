"""Makes values of the text that an agent passes for an object: java.jprobe.Rendering writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

# Longer numbers are text: converting them takes more than linear time.
_MOST_DIGITS = 40
# A number in Java that is one in JSON as well.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?(E[+-]?[0-9]{1,4})?", re.ASCII)
_NAMED = {
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


@dataclass(frozen=True)
class Rendered:
    """An object that is neither a number nor a string: an enum's constant, elements, a class and identity."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Char:
    """A Java char: one UTF-16 code unit, which may be half of a surrogate pair."""

    text: str


def value_of(text: str) -> bool | int | float | str | Char | Rendered:
    """Returns the value of a text that is complete. A number that has no exact float is a Rendered."""
    if text in _NAMED:
        return _NAMED[text]
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    if len(text) == 3 and text[0] == text[-1] == "'":
        return Char(text[1])
    number = _NUMBER.fullmatch(text) if len(text) <= _MOST_DIGITS else None
    if number is None:
        return Rendered(text)
    if number.group(1) is None and number.group(2) is None:
        return int(text)
    converted = float(text)
    return converted if Decimal(repr(converted)) == Decimal(text) else Rendered(text)

"""Reads the strings of a batch in bulk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jcollect.errors import MalformedStreamError
from jcollect.layout.record import STRING_WORD_LENGTH_MASK, STRING_WORD_LENGTH_SHIFT
from jcollect.sources.columns import U64, Flags

# Maximum bytes of a string: 64 times the agent's longest.
MOST_VALUE_BYTES = 64 << 10
# Strings repeat: names of classes, statements. Their texts are kept, up to this number and size in bytes.
_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256

Positions = npt.NDArray[np.int64]


class Remembered:
    """Formats the bytes of strings, and remembers the texts of those that repeat.

    Printable ASCII becomes itself, between two `quote`s, unless `escapes_quotes` and it has quotes or
    backslashes.
    """

    def __init__(self, formatted: Callable[[str], str], escapes_quotes: bool, quote: str = '"') -> None:
        self._formatted = formatted
        self.escapes_quotes = escapes_quotes
        self.quote = quote
        self._known: dict[bytes, str] = {}

    def __call__(self, text: bytes) -> str:
        known = self._known.get(text)
        if known is None:
            known = self._formatted(text.decode(errors="replace"))
            if len(text) <= _LONGEST_REMEMBERED:
                if len(self._known) >= _MOST_REMEMBERED:
                    self._known.clear()
                self._known[text] = known
        return known


class BatchText:
    """The texts of all strings of a batch. `printable` is the decoded text if it is printable ASCII, and
    `has_quotes` is true if it has quotes or backslashes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        codes = np.frombuffer(content, np.uint8)
        is_printable = not len(codes) or (int(codes.min()) >= 0x20 and int(codes.max()) < 0x7F)
        self.printable = content.decode("ascii") if is_printable else None
        self.has_quotes = b'"' in content or b"\\" in content


class Texts:
    """The texts of a run of events. `start` is where in the batch's text that of the first string begins.

    `end` is where that of the last string ends.
    """

    def __init__(self, text: BatchText, start: int, words: U64, is_string: Flags) -> None:
        """`words` has all values of the events. Raises MalformedStreamError for a string that is too long."""
        lengths = words >> np.uint64(STRING_WORD_LENGTH_SHIFT) & np.uint64(STRING_WORD_LENGTH_MASK)
        sizes = np.where(is_string, lengths, np.uint64(0)).astype(np.int64)
        longest = int(sizes.max()) if len(sizes) else 0
        if longest > MOST_VALUE_BYTES:
            raise MalformedStreamError(f"a value has {longest:,} bytes")
        self._ends = np.cumsum(sizes) + start
        self._begins = self._ends - sizes
        self._text = text
        self.end = int(self._ends[-1]) if len(words) else start

    def contents(self, positions: Positions) -> list[bytes]:
        """Returns the bytes of the strings whose words are at these positions."""
        spans = zip(self._begins[positions].tolist(), self._ends[positions].tolist(), strict=True)
        return [self._text.content[begin:end] for begin, end in spans]

    def formatted(self, positions: Positions, texts: Remembered) -> list[str]:
        """Returns the formatted texts of the strings whose words are at these positions."""
        spans = zip(self._begins[positions].tolist(), self._ends[positions].tolist(), strict=True)
        plain = self._text.printable
        if plain is not None and not (texts.escapes_quotes and self._text.has_quotes):
            quote = texts.quote
            return [f"{quote}{plain[begin:end]}{quote}" for begin, end in spans]
        content = self._text.content
        return [texts(content[begin:end]) for begin, end in spans]

"""Columns of numbers as bytes that compress well: small numbers, whose bytes are sorted by significance.

At a million events per second, times grow by about a microsecond, and thread IDs and durations are close to
each other. A column is therefore stored as differences from its least element, or from the element before,
in as few bytes as the largest difference needs. Shuffling puts the bytes of equal significance side by side,
of which zstd (recordings/frames.py) makes almost nothing if they hardly vary.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from jcollect.errors import MalformedStreamError
from jcollect.sources.columns import U64

# How to restore it, bytes per element, least element or difference, and first element.
_COLUMN = struct.Struct("<BBQQ")
LEAST, DIFFERENCE = 0, 1
_WIDTHS = (0, 1, 2, 4, 8)


def encode_numbers(column: npt.NDArray[Any], how: int) -> bytes:
    """Returns a column of unsigned integers as bytes."""
    if not len(column):
        return b""
    numbers = column.astype(np.uint64, copy=False)
    first = int(numbers[0])
    if how == DIFFERENCE:
        # Modulo 2^64, so that every column can be restored, those that fall included.
        signed = np.diff(numbers).view(np.int64)
        least = int(signed.min()) & (1 << 64) - 1 if len(signed) else 0
        rest = signed.view(np.uint64) - np.uint64(least)
    else:
        least = int(numbers.min())
        rest = numbers - np.uint64(least)
    largest = int(rest.max()) if len(rest) else 0
    width = next(width for width in _WIDTHS if largest >> 8 * width == 0)
    head = _COLUMN.pack(how, width, least, first)
    if width < 2:
        return head + (rest.astype(np.uint8).tobytes() if width else b"")
    return head + rest.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()


class NumberReader:
    """Reads parts of bytes. Raises MalformedStreamError where they end too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Returns the next numbers."""
        return layout.unpack(self.take(layout.size))

    def rest(self) -> bytes:
        """Returns the bytes that are left."""
        return self.take(len(self._content) - self._at)

    def column(self, count: int) -> U64:
        """Returns the next column, of `count` elements."""
        if not count:
            return np.zeros(0, np.uint64)
        how, width, least, first = self.unpack(_COLUMN)
        if how not in (LEAST, DIFFERENCE) or width not in _WIDTHS:
            raise MalformedStreamError("a column has an unknown form")
        stored = count - (how == DIFFERENCE)
        if width:
            shuffled = np.frombuffer(self.take(width * stored), np.uint8).reshape(width, stored)
            rest = np.ascontiguousarray(shuffled.T).view(f"<u{width}").reshape(-1).astype(np.uint64)
        else:
            rest = np.zeros(stored, np.uint64)
        rest += np.uint64(least)
        if how == LEAST:
            return rest
        return np.cumsum(np.concatenate([np.array([first], np.uint64), rest]), dtype=np.uint64)

    def take(self, size: int) -> bytes:
        """Returns the next bytes."""
        part = self._content[self._at : self._at + size]
        if len(part) < size:
            raise MalformedStreamError("a batch ends too early")
        self._at += size
        return part

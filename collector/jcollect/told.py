"""Sentences and names that a target has written, as they can be part of a message."""

from __future__ import annotations

from jcollect.printable import printable

# Characters of a sentence.
MAX_TOLD = 500


def told(text: str, most: int = MAX_TOLD) -> str:
    """As `printable`, and cut where it has more than so many characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

"""Makes sentences and names that a target has written fit to be part of a message."""

from __future__ import annotations

from jcollect.printable import printable

# Maximum length of a sentence, in characters.
MAX_TOLD = 500


def told(text: str, most: int = MAX_TOLD) -> str:
    """Applies `printable`, and truncates the text if it has more than `most` characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

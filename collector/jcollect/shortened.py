"""Makes text from a target printable, and short enough for a message."""

from __future__ import annotations

from jcollect.printable import printable

# Maximum length of a sentence, in characters.
MAX_SENTENCE = 500


def shortened(text: str, most: int = MAX_SENTENCE) -> str:
    """Applies `printable`, and truncates the result to `most` characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

"""Makes text from a target printable, and short enough for a message."""

from __future__ import annotations

from jcollect.printable import printable

# Maximum length of a sentence, in characters.
MAX_SENTENCE = 500


def shortened(text: str, most: int = MAX_SENTENCE) -> str:
    """Applies `printable`, and truncates the result to `most` characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def with_clause(sentence: str, clause: str) -> str:
    """Returns a sentence with one more clause, which is a sentence of its own after a question."""
    if sentence.endswith("?"):
        return f"{sentence} {clause[:1].upper()}{clause[1:]}"
    return f"{sentence}; {clause}"

"""Makes text from the traced process fit for a terminal."""

from __future__ import annotations

import re

# C0 and C1 controls (escape sequences begin with them), line and paragraph separators, marks that
# reorder what stands around them, and lone surrogates, which cannot be encoded.
_DANGEROUS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(text: str) -> str:
    """The text with every character that could act on a terminal written as \\n, \\x1b or \\u202e."""
    return _DANGEROUS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

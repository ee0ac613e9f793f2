"""Escapes untrusted text for a terminal, a log or a file. The only module that does so.

All names, values and messages of targets, clients and servers pass through here before they are printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring

# Spaces in ordinary text, such as the no-break space in French and the wide space in Japanese.
_SPACES = frozenset("\xa0\u1680\u202f\u205f\u3000").union(map(chr, range(0x2000, 0x200B)))
_MOST_REMEMBERED = 4096


class _Escapes(dict[int, str]):
    """Maps code points to their escaped form, for str.translate, which creates no object per character."""

    def __init__(self, escaped: Callable[[str], str], unescaped: str = "") -> None:
        super().__init__({ord(character): character for character in unescaped})
        self._escaped = escaped

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_harmless = character.isprintable() or character in _SPACES
        shown = character if is_harmless else self._escaped(character)
        if len(self) < _MOST_REMEMBERED:
            self[code] = shown
        return shown


_PYTHON = _Escapes(lambda character: ascii(character)[1:-1])
# A line feed in JSON text is only layout: inside strings it is escaped.
_JSON = _Escapes(lambda character: json.dumps(character)[1:-1], unescaped="\n")


def printable(text: str) -> str:
    """Returns the text with every character that could act on a terminal or deceive its reader written as
    Python escapes it: \\n, \\x1b, \\u202e, \\U000e0041.

    Escapes every character that Unicode classifies as not printable: controls, line and paragraph separators,
    format characters (tags, and marks that have no width or that reorder or join the text around them),
    surrogates, and unassigned and private-use code points. Spaces of any width stay.
    """
    return text if text.isprintable() else text.translate(_PYTHON)


def quoted_text(text: str) -> str:
    """Returns the printable text in quotes. Quotes and backslashes in it follow a backslash."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def json_text(value: object, indent: int | None = None) -> str:
    """Returns JSON in which the characters that `printable` escapes are written as \\uXXXX.

    Without `indent` it is one line without spaces.
    """
    separators = None if indent else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    return text if text.isprintable() else text.translate(_JSON)


def json_string(text: str) -> str:
    """Returns what `json_text` returns of a text, in a tenth of the time."""
    quoted = encode_basestring(text)
    return quoted if quoted.isprintable() else quoted.translate(_JSON)

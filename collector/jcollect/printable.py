"""Makes text that others have written fit for a terminal, a log and a file. The only module that does so.

All names, values and messages of targets, clients and servers pass through here before they are shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable

# Spaces in ordinary text, such as the no-break space of French and the wide one of Japanese. They show as a
# gap.
_SPACES = frozenset("\xa0\u1680\u202f\u205f\u3000").union(map(chr, range(0x2000, 0x200B)))
_MOST_REMEMBERED = 4096


class _Escapes(dict[int, str]):
    """Maps code points to what is shown, for str.translate: it makes no object for each character."""

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

    Escapes every character that Unicode treats as not printable: controls, line and paragraph separators,
    formats (tags, and marks that reorder or join the text around them or have no width), surrogates, and
    code points for private use or without meaning. Spaces of any width stay.
    """
    return text if text.isprintable() else text.translate(_PYTHON)


def json_text(value: object, indent: int | None = None) -> str:
    """Returns JSON that decodes to the same value, with what `printable` escapes written as \\uXXXX.

    Without `indent` it is one line without spaces.
    """
    separators = None if indent else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    return text if text.isprintable() else text.translate(_JSON)

"""Makes text that others have written fit for a terminal, a log and a file. The only module that does so.

All names, values and messages of targets, clients and servers pass through here before they are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

# Only runs of characters other than printable ASCII are checked one by one.
_SUSPECT = re.compile("[^ -~]+")
# A line feed in JSON text is only layout: inside strings it is escaped.
_SUSPECT_IN_JSON = re.compile("[^\n -~]+")
# Spaces in ordinary text, such as the no-break space of French and the wide one of Japanese. They show as a
# gap.
_SPACES = frozenset("\xa0\u1680\u202f\u205f\u3000").union(map(chr, range(0x2000, 0x200B)))


def printable(text: str) -> str:
    """Returns the text with every character that could act on a terminal or deceive its reader written as
    Python escapes it: \\n, \\x1b, \\u202e, \\U000e0041.

    Escapes every character that Unicode treats as not printable: controls, line and paragraph separators,
    formats (tags, and marks that reorder or join the text around them or have no width), surrogates, and
    code points for private use or without meaning. Spaces of any width stay.
    """
    return _replaced(_SUSPECT, text, lambda character: ascii(character)[1:-1])


def json_text(value: object, indent: int | None = None) -> str:
    """Returns JSON that decodes to the same value, with what `printable` escapes written as \\uXXXX.

    Without `indent` it is one line without spaces.
    """
    separators = None if indent else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    return _replaced(_SUSPECT_IN_JSON, text, lambda character: json.dumps(character)[1:-1])


def _replaced(suspect: re.Pattern[str], text: str, escaped: Callable[[str], str]) -> str:
    def of_run(match: re.Match[str]) -> str:
        run = match[0]
        if run.isprintable():
            return run
        return "".join(c if c.isprintable() or c in _SPACES else escaped(c) for c in run)

    return suspect.sub(of_run, text)

"""Finds the names of probes that a glob which matches nothing may stand for.

Names come from untrusted targets, so the time and the lengths are bounded.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence

from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.globs import Named, names_matcher
from jcollect.shortened import shortened

_MOST_NAMES = 3
_MOST_LENGTH = 128
# Maximum number of letters to change, and the letters of the longest part of a glob for each.
_MOST_EDITS, _LETTERS_PER_EDIT = 3, 3
# Time after which no more names are compared.
_SECONDS = 0.3
_SEPARATORS = re.compile(r"[*?\[\].:#$]")


def hint(globs: Iterable[str], probes: Iterable[Named]) -> str:
    """Returns what may be wrong with globs that match none of these probes, as a printable clause that begins
    with "; "; empty if nothing is near."""
    given, names = list(globs), list(dict.fromkeys(_names(probes)))
    return _nested(given, names) or _question(_nearest(given, names))


def _names(probes: Iterable[Named]) -> Iterator[str]:
    for probe in probes:
        yield from (probe.name, f"{probe.class_name}#{probe.method}", probe.class_name, probe.method)
        yield from (f"{probe.provider}:{probe.name}", probe.provider)


def _nested(globs: Sequence[str], names: Iterable[str]) -> str:
    """Returns a clause if a glob has a dot where a name has the $ of a nested class."""
    matches = names_matcher([glob.replace("$", ".") for glob in globs])
    found = (name for name in names if "$" in name and matches((name.replace("$", "."),)))
    name = next(found, "")
    if not name:
        return ""
    written = shortened(name.partition("#")[0], MAX_SHOWN_NAME)
    return f"; classes nested in others are written {written} here"


def _nearest(globs: Sequence[str], names: Iterable[str]) -> list[str]:
    deadline = time.monotonic() + _SECONDS
    wanted = [glob.lower() for glob in globs if len(glob) <= _MOST_LENGTH]
    near: dict[str, int] = {}
    for name in names:
        if time.monotonic() > deadline:
            break
        if len(name) > _MOST_LENGTH:
            continue
        distances = [each for glob in wanted if (each := _distance(glob, name.lower())) is not None]
        if distances:
            near[name] = min(distances)
    least = min(near.values(), default=0)
    found: list[str] = []
    for name in sorted((name for name in near if near[name] == least), key=lambda name: (len(name), name)):
        # "provider:name" adds nothing to the name.
        if not any(name.endswith(f":{each}") for each in found):
            found.append(name)
    return found[:_MOST_NAMES]


def _distance(glob: str, name: str) -> int | None:
    """Returns a number that is smaller the nearer the name is; None if it is not near."""
    # Names in one package have most letters in common.
    letters = max(map(len, _SEPARATORS.split(glob)))
    whole = _edits(glob, name)
    if whole <= min(_MOST_EDITS, (letters + 2) // _LETTERS_PER_EDIT):
        return 2 * whole
    part = _edits(f"*{glob}*", name)
    return 2 * part + 1 if part <= min(_MOST_EDITS, letters // _LETTERS_PER_EDIT) else None


def _edits(glob: str, name: str) -> int:
    """Returns the number of letters to add, remove or replace in a name until the glob matches it."""
    # The edits from the glob so far to each beginning of the name.
    last = list(range(len(name) + 1))
    for character in glob:
        if character == "*":
            for end in range(1, len(last)):
                last[end] = min(last[end], last[end - 1])
            continue
        now = [last[0] + 1]
        for end, letter in enumerate(name, 1):
            replaced = last[end - 1] + (character not in ("?", letter))
            now.append(min(replaced, last[end] + 1, now[-1] + 1))
        last = now
    return last[-1]


def _question(names: Sequence[str]) -> str:
    if not names:
        return ""
    *others, last = [shortened(name, MAX_SHOWN_NAME) for name in names]
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"

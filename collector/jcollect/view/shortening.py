"""Shortens names of methods to a width, so that class and method stay legible.

Packages become initials, from the first one on. Then descriptor, class and method lose their middle: their
ends distinguish namesakes such as OrderServiceImpl and OrderServiceProxy.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_ELLIPSIS = "…"
# Neither class nor method becomes shorter than this.
_LEAST_PART = 5
_LEAST_DESCRIPTOR = 9
# Class and method are shortened before initials of packages that need at most this part of the width.
_SHARE_OF_INITIALS = 5
# Columns of a compact line besides the name: time, thread, kind and duration.
_REST_OF_EVENT = 44
LEAST_NAME = 24


def cells(text: str) -> int:
    """Returns the number of columns that a printable text has on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def name_in_event(name: str, columns: int | None) -> str:
    """Returns the name for the compact line of an event on a terminal with that many columns; None for no
    terminal, whose lines have no width."""
    return name if columns is None else shortened_name(name, max(LEAST_NAME, columns - _REST_OF_EVENT))


@lru_cache(maxsize=1 << 14)
def shortened_name(name: str, most: int) -> str:
    """Returns a printable name, as in "com.acme.Orders#place(J)V", with at most so many columns, unless that
    would leave too little of it."""
    if cells(name) <= most:
        return name
    full_class, hash_sign, method = name.partition("#")
    if not hash_sign:
        return _without_middle(name, most)
    method, parenthesis, descriptor = method.partition("(")
    *packages, class_name = full_class.split(".")
    descriptor = parenthesis + descriptor
    needed = sum(map(cells, (class_name, hash_sign, method, descriptor)))
    spare = most - 2 * _LEAST_PART - len(hash_sign) - min(cells(descriptor), _LEAST_DESCRIPTOR)
    prefix = _initials(packages, most - needed, min(spare, most // _SHARE_OF_INITIALS))
    room = most - cells(prefix) - len(hash_sign)
    # The descriptor distinguishes only overloads, so it is the first to lose its middle.
    least = min(cells(descriptor), _LEAST_DESCRIPTOR)
    class_name, method = _fitted(class_name, method, room - least)
    descriptor = _without_middle(descriptor, max(least, room - cells(class_name) - cells(method)))
    return f"{prefix}{class_name}{hash_sign}{method}{descriptor}"


def _initials(packages: Sequence[str], room: int, most: int) -> str:
    """Returns packages with a dot after each; as many as necessary of the first ones are initials. Without
    room for all initials, they may still have `most` columns; otherwise there are none."""
    shown = [f"{each}." for each in packages]
    for number, package in enumerate(packages):
        if sum(map(cells, shown)) <= room:
            break
        shown[number] = f"{package[:1]}."
    prefix = "".join(shown)
    return prefix if cells(prefix) <= max(room, most) else ""


def _fitted(first: str, second: str, room: int) -> tuple[str, str]:
    """Returns two texts with so many columns in total. A short one leaves the rest to the other."""
    half = room // 2
    first_most = max(half, room - cells(second), _LEAST_PART)
    first = _without_middle(first, first_most)
    return first, _without_middle(second, max(room - cells(first), _LEAST_PART))


def _without_middle(text: str, most: int) -> str:
    """Returns the beginning and the end of a text that has more than `most` columns."""
    if cells(text) <= most:
        return text
    room = max(0, most - len(_ELLIPSIS))
    head = _beginning(text, room - room // 2)
    tail = _beginning(text[::-1], room // 2)[::-1]
    return f"{head}{_ELLIPSIS}{tail}"


def _beginning(text: str, most: int) -> str:
    if text.isascii():
        return text[:most]
    width = 0
    for end, character in enumerate(text):
        width += _width(character)
        if width > most:
            return text[:end]
    return text

"""Adds a capture or a condition to selectors that have none, for commands that need one.

The agent parses selectors (select/SelectorParser.java); this only finds where the parts of one begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_CLAUSE = re.compile(r"[\s~)\]](when|every|at[\s~]+most)(?=[\s~(\[!])", re.IGNORECASE)
# Captures, and no types: see docs/selectors.md, below the grammar.
_CAPTURE = re.compile(
    r"=|(^|,)\s*([(\[]{2}|(this|return|exception|thread|duration|stack|arguments|arg\d+)\b)"
)
_STACK = re.compile(r"[(\[,=]\s*stack\s*([,)\]]|[(\[]\s*\d+\s*[)\]])")
_OPEN, _CLOSE = "([", ")]"


class _Parts(NamedTuple):
    """The methods of a selector with their types, its captures and its clauses, as written."""

    methods: str
    captures: str
    clauses: str


def with_capture(selectors: str, capture: str) -> str:
    """Returns selectors, of which each that captures nothing captures this."""

    def changed(parts: _Parts) -> _Parts:
        return parts if parts.captures else parts._replace(captures=f"({capture})")

    return ";".join(_changed(each, changed) for each in _divided(selectors, ";"))


def with_stack(selectors: str) -> str:
    """Returns selectors, of which each captures the stack, besides what it captures already."""

    def changed(parts: _Parts) -> _Parts:
        if not parts.captures:
            return parts._replace(captures="(stack)")
        if _STACK.search(_without_strings(parts.captures)):
            return parts
        return parts._replace(captures=f"{parts.captures[:-1]}, stack{parts.captures[-1]}")

    return ";".join(_changed(each, changed) for each in _divided(selectors, ";"))


def with_clause(selectors: str, condition: str) -> str:
    """Returns selectors, of which each without a condition has this one."""

    def changed(parts: _Parts) -> _Parts:
        if re.search(r"\bwhen\b", _without_strings(parts.clauses)):
            return parts
        clauses = parts.clauses.strip()
        return parts._replace(clauses=f" when {condition}" + (f" and {clauses}" if clauses else ""))

    return ";".join(_changed(each, changed) for each in _divided(selectors, ";"))


def _changed(selector: str, change: Callable[[_Parts], _Parts]) -> str:
    text = selector.strip()
    if not text or text.startswith(("!", "not ", "not~")):
        return selector
    return "".join(change(_parts(text)))


def _parts(selector: str) -> _Parts:
    plain = _without_strings(selector)
    outside = _outside_brackets(plain)
    end = len(selector)
    for found in _CLAUSE.finditer(outside):
        end = found.start(1)
        break
    head = selector[:end].rstrip(" \t\n~")
    clauses = selector[len(head) :]
    last = _last_list(_without_strings(head))
    if last is not None and _CAPTURE.search(_without_strings(head)[last + 1 : -1]):
        return _Parts(head[:last], head[last:], clauses)
    if last is not None and _last_list(_without_strings(head)[:last]) is not None:
        return _Parts(head[:last], head[last:], clauses)
    return _Parts(head, "", clauses)


def _last_list(text: str) -> int | None:
    """Returns where the list in brackets at the end of a text begins; None if there is none with content, as
    in the type int[]."""
    if not text or text[-1] not in _CLOSE:
        return None
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        if text[at] in _CLOSE:
            depth += 1
        elif text[at] in _OPEN:
            depth -= 1
            if depth == 0:
                return None if text[at] == "[" and at == len(text) - 2 else at
    return None


def _without_strings(text: str) -> str:
    """Returns a text of the same length, in which strings have no contents that look like syntax."""
    return re.sub(
        r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", lambda found: "_" * len(found[0]), text, flags=re.DOTALL
    )


def _outside_brackets(text: str) -> str:
    """Returns a text of the same length without what is in brackets."""
    depth = 0
    found = []
    for character in text:
        depth += character in _OPEN
        found.append(character if depth == 0 or (depth == 1 and character in _OPEN + _CLOSE) else "_")
        depth -= character in _CLOSE
    return "".join(found)


def _divided(text: str, separator: str) -> Iterator[str]:
    """Yields the parts of a text between separators that are not in strings."""
    plain = _without_strings(text)
    begin = 0
    for at, character in enumerate(plain):
        if character == separator:
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]

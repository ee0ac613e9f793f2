"""Adds the capture `stack` to selectors that lack it, for `jcollect flame`.

Only as much of the grammar as is needed is read here; the agent parses the result, and explains mistakes.
"""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"(when|every|at\s+most)\b|,")
_STACK = re.compile(r"(^|[(\[,=])\s*stack\s*([,)\]]|\(\s*\d+\s*\))")
# Names with which a path begins, and no type: see PathParser.isRoot.
_ROOT = re.compile(r"\s*(this|return|exception|thread|duration|stack|arg\d+)\b")
_PAIRS = {"(": ")", "[": "]"}


def with_stack(selectors: str) -> str:
    """Returns the selectors, separated by semicolons, with `stack` among the captures of each."""
    return ";".join(map(_with_stack, _split(selectors)))


def _split(text: str) -> list[str]:
    parts, begin = [], 0
    for at, depth, character in _outside(text):
        if character == ";" and not depth:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


def _outside(text: str) -> list[tuple[int, int, str]]:
    """Returns the characters outside of quotes: their index, and the depth of brackets around them."""
    found, depth, quote, is_escaped = [], 0, "", False
    for at, character in enumerate(text):
        if quote:
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character == quote:
                quote = ""
            continue
        if character in "\"'":
            quote = character
            continue
        if character in ")]":
            depth -= 1
        found.append((at, depth, character))
        if character in "([":
            depth += 1
    return found


def _with_stack(selector: str) -> str:
    if not selector.strip() or selector.lstrip().startswith("!"):
        return selector
    head = selector[: _clauses_of(selector)]
    end = len(head.rstrip())
    rest = selector[end:]
    head = head[:end]
    opened = _last_bracket(head)
    if opened is None or not _is_captures(head[opened + 1 : -1]):
        return f"{head}(stack){rest}"
    if _STACK.search(head[opened:]):
        return selector
    return f"{head[:-1]}, stack{head[-1]}{rest}"


def _clauses_of(selector: str) -> int:
    """Returns the index at which the clauses begin: when, every, at most."""
    before = ""
    for at, depth, character in _outside(selector):
        if not depth and before.isspace() and _CLAUSE.match(selector, at):
            return at
        before = character
    return len(selector)


def _last_bracket(head: str) -> int | None:
    """Returns the index of the bracket that the last character closes; None if that is none."""
    if head[-1:] not in _PAIRS.values():
        return None
    opened = [at for at, depth, character in _outside(head) if character in _PAIRS and not depth]
    return opened[-1] if opened else None


def _is_captures(content: str) -> bool:
    """Returns true if brackets hold captures, and not types: see CaptureParser.isAhead."""
    outside = _outside(content)
    if any(character == "=" for _, _, character in outside):
        return True
    starts = [0, *(at + 1 for at, depth, character in outside if character == "," and not depth)]
    return any(_ROOT.match(content, at) or content[at:].lstrip()[:1] in ("(", "[") for at in starts)

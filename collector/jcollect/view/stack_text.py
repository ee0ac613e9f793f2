"""Frames of stacks as text for people: `Orders.place:42 < Shop.run:7`."""

from __future__ import annotations

import re

from jcollect.printable import printable
from jcollect.sources.stacks import StackTrace

# Frames of a line: the traced method, and who has called it.
_FEW = 6
_FRAME = re.compile(r"(?P<method>[^(]*)\((?P<place>.*)\)", re.DOTALL)


def method_of(frame: str) -> str:
    """Returns the class and the method of a frame: com.acme.Orders.place."""
    found = _FRAME.fullmatch(frame)
    return found["method"] if found else frame


def short_frame(frame: str) -> str:
    """Returns a frame without package and file: Orders.place:42."""
    owner, _, method = method_of(frame).rpartition(".")
    _, colon, line = frame.rstrip(")").rpartition(":")
    name = f"{owner.rpartition('.')[2]}.{method}" if owner else method
    return f"{name}:{line}" if colon and line.isascii() and line.isdigit() else name


def short_stack(stack: StackTrace) -> str:
    """Returns the innermost frames of a stack on one line, escaped for a terminal."""
    shown = " < ".join(short_frame(frame) for frame in stack.frames[:_FEW])
    more = len(stack.frames) - _FEW
    if more > 0:
        shown += f" < {more:,} more"
    return printable(shown) + ("…" if stack.is_truncated and more <= 0 else "")

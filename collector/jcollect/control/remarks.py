"""Words what a reply to `select` or `explain` says about single selectors, for the user who gave them."""

from __future__ import annotations

from collections.abc import Iterable

from jcollect.console import plural
from jcollect.shortened import shortened
from jprobe.v1 import control_pb2

MAX_REMARKS = 10
MAX_REMARK = 900
_MAX_SELECTOR = 200
_ABSTRACT = "it is abstract"
_NOTHING = "matches no method of the classes loaded so far"
# How the agent begins a problem that the program's next class may solve.
_NOT_LOADED = "matches no loaded class"


def remarks(reply: control_pb2.ControlReply, held: bool = False) -> list[str]:
    """Returns a printable sentence about each given selector that traces nothing. With `held`, the program
    has not begun, so that a selector which matches no loaded class may well be right."""
    given = set(reply.given)
    found = [
        _remark(each) for each in reply.selections if each.selector in given and not (held and _is_open(each))
    ]
    abstract = sum(each.reason == _ABSTRACT for each in reply.failed)
    if abstract and any(map(_names_one_class, reply.given)):
        found.append(
            f"{plural(abstract, 'matching method')} cannot be traced, being abstract; for the methods that "
            "implement such methods, write '+' before the class"
        )
    return _first(filter(None, found))


def problems(reply: control_pb2.ControlReply) -> list[str]:
    """Returns a printable sentence about each selector of a reply to `explain` that traces nothing."""
    return _first(filter(None, map(_remark, reply.selections)))


def is_exclusion(selection: control_pb2.Selection) -> bool:
    """Returns true if it excludes methods that earlier selectors select."""
    return selection.selector.startswith(("!", "not "))


def _remark(selection: control_pb2.Selection) -> str:
    if is_exclusion(selection):
        return ""
    name = quoted(selection.selector)
    if selection.methods or selection.overruled:
        return ""
    return f"{name} {shortened(selection.problem, MAX_REMARK) or _NOTHING}"


def _is_open(selection: control_pb2.Selection) -> bool:
    return not selection.problem or selection.problem.startswith(_NOT_LOADED)


def _names_one_class(selector: str) -> bool:
    classes = selector.replace("::", "#").partition("#")[0]
    return not any(character in classes for character in "*%+@!")


def quoted(selector: str) -> str:
    return f"'{shortened(selector, _MAX_SELECTOR)}'"


def _first(found: Iterable[str]) -> list[str]:
    every = list(found)
    more = len(every) - MAX_REMARKS
    return [*every[:MAX_REMARKS], f"and {more:,} more selectors trace nothing"] if more > 0 else every

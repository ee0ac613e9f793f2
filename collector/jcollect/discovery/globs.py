"""Narrows probes by shell globs; the same rule for --probe and for the globs of a gRPC request.

Globs may be a hostile client's, and names a hostile target's. To match one is linear in the name for what
stands between two stars, so that a glob costs at most its own length times the name's; the sum of that is
what a budget counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Protocol

# A glob without any of these stands for itself.
_MAGIC = re.compile(r"[*?[]")
_NOT_LITERAL = re.compile(r"[*?]|\[.*", re.DOTALL)
# Looking for a literal, and trying a pattern: what that takes besides the characters, in steps of about 1 ns.
_LOOK_STEPS = 60
_TRY_STEPS = 300


class TooCostlyError(Exception):
    """To match globs takes more than their budget has."""


class Budget:
    """How much matching may take, in steps of about a nanosecond of CPU time, so that it is the same on every
    machine. For one thread at a time."""

    def __init__(self, steps: float = float("inf")) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Raises TooCostlyError."""
        self.left -= steps
        if self.left < 0:
            raise TooCostlyError


class Named(Protocol):
    """What a glob is matched against; discovery's Probe and the protocol's Probe both have it."""

    @property
    def provider(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def class_name(self) -> str: ...
    @property
    def method(self) -> str: ...


def matcher(globs: Iterable[str], budget: Budget | None = None) -> Callable[[Named], bool]:
    """Tells whether a probe is meant: one glob has to match one of its names; no globs mean every probe.

    The names are "provider:name", provider, name, class, method and "class#method". Case counts. What is
    returned raises TooCostlyError where it takes more than the budget.
    """
    is_one_meant = names_matcher(globs, budget)
    return lambda probe: is_one_meant(
        (
            f"{probe.provider}:{probe.name}",
            probe.provider,
            probe.name,
            probe.class_name,
            probe.method,
            f"{probe.class_name}#{probe.method}",
        )
    )


def names_matcher(globs: Iterable[str], budget: Budget | None = None) -> Callable[[Iterable[str]], bool]:
    """Tells whether one of several names is matched by one glob; no globs match everything."""
    patterns = list(dict.fromkeys(globs))
    if not patterns:
        return lambda names: True
    exact = frozenset(glob for glob in patterns if not _MAGIC.search(glob))
    # One by one: the interpreter lets no other thread run while it matches one.
    magic = [
        (_literal_of(glob), re.compile(translate(glob)).match, len(glob))
        for glob in patterns
        if glob not in exact
    ]
    spend = (budget or Budget()).spend

    def is_one_meant(names: Iterable[str]) -> bool:
        for name in names:
            if name in exact:
                return True
            size = len(name)
            spend(len(magic) * (_LOOK_STEPS + size))
            for literal, match, length in magic:
                if literal in name:
                    spend(_TRY_STEPS + size * length)
                    if match(name):
                        return True
        return False

    return is_one_meant


def _literal_of(glob: str) -> str:
    """The longest text that is in every name that the glob matches, as far as that is easily told."""
    return max(_NOT_LITERAL.sub("\0", glob).split("\0"), key=len)

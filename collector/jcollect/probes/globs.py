"""Narrows probes by shell globs; the same rule applies to --probe and to the globs of a gRPC request.

Globs come from untrusted clients, and names from untrusted targets. Matching the text between two stars is
linear in the name, so a glob costs at most its length times the length of the name. A budget limits the sum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Protocol

# A glob without any of these characters matches only itself.
_MAGIC = re.compile(r"[*?[]")
_NOT_LITERAL = re.compile(r"[*?]|\[.*", re.DOTALL)
# Fixed cost of searching for a literal and of trying a pattern, besides the characters, in steps of about 1
# ns.
_SEARCH_STEPS = 60
_TRY_STEPS = 300


# Provider and name of the probes at which agents report mounts of virtual threads. A glob matches them only
# if it begins so: they fire far more often than those that users mean by "*".
_MOUNTS_PROVIDER, _MOUNTS_NAME = "jprobe", "virtual__"
_MOUNTS = f"{_MOUNTS_PROVIDER}:{_MOUNTS_NAME}"


class TooCostlyError(Exception):
    """Matching the globs costs more than their budget."""


class Budget:
    """Limits the cost of matching, in steps of about 1 ns of CPU time: a count of steps is the same on every
    machine. For one thread at a time."""

    def __init__(self, steps: float = float("inf")) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Uses up steps. Raises TooCostlyError."""
        self.left -= steps
        if self.left < 0:
            raise TooCostlyError


class Named(Protocol):
    """The names of a probe that globs match: of a Probe or of its description."""

    @property
    def provider(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def class_name(self) -> str: ...
    @property
    def method(self) -> str: ...


def is_of_mounts(probe: Named) -> bool:
    """Returns true for a probe at which an agent reports mounts of virtual threads."""
    return is_name_of_mounts(probe.provider, probe.name)


def is_name_of_mounts(provider: str, name: str) -> bool:
    """Returns true for the names of the probes of `is_of_mounts`."""
    return provider == _MOUNTS_PROVIDER and name.startswith(_MOUNTS_NAME)


def matcher(globs: Iterable[str], budget: Budget | None = None) -> Callable[[Named], bool]:
    """Returns a function that returns true if one of the globs matches one of a probe's names. Without globs
    every probe matches, except those of mounts, which only globs match that begin with "jprobe:virtual__".

    The names are "provider:name", provider, name, class, method and "class#method". Matching is
    case-sensitive. The function raises TooCostlyError when it exceeds the budget.
    """
    patterns = list(globs)
    if not patterns:
        return lambda probe: not is_of_mounts(probe)
    matches_any = names_matcher(patterns, budget)
    of_mounts = [pattern for pattern in patterns if pattern.startswith(_MOUNTS)]
    matches_mounts = names_matcher(of_mounts, budget) if of_mounts else lambda names: False

    def matches(probe: Named) -> bool:
        if is_of_mounts(probe):
            return matches_mounts((f"{probe.provider}:{probe.name}",))
        return matches_any(
            (
                f"{probe.provider}:{probe.name}",
                probe.provider,
                probe.name,
                probe.class_name,
                probe.method,
                f"{probe.class_name}#{probe.method}",
            )
        )

    return matches


def names_matcher(globs: Iterable[str], budget: Budget | None = None) -> Callable[[Iterable[str]], bool]:
    """Returns a function that returns true if a glob matches one of the names. Without globs, all match."""
    patterns = list(dict.fromkeys(globs))
    if not patterns:
        return lambda names: True
    exact = frozenset(glob for glob in patterns if not _MAGIC.search(glob))
    # Matches the globs one by one, because the interpreter runs no other thread during a match.
    magic = [
        (_literal_of(glob), re.compile(translate(glob)).match, len(glob))
        for glob in patterns
        if glob not in exact
    ]
    spend = (budget or Budget()).spend

    def matches_any(names: Iterable[str]) -> bool:
        for name in names:
            if name in exact:
                return True
            size = len(name)
            spend(len(magic) * (_SEARCH_STEPS + size))
            for literal, match, length in magic:
                if literal in name:
                    spend(_TRY_STEPS + size * length)
                    if match(name):
                        return True
        return False

    return matches_any


def _literal_of(glob: str) -> str:
    """Returns the longest text that every matching name contains, as far as that is easy to determine."""
    return max(_NOT_LITERAL.sub("\0", glob).split("\0"), key=len)

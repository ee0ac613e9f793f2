"""Narrows probes by shell globs; the same rule for --probe and for the globs of a gRPC request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Protocol


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


def matcher(globs: Iterable[str]) -> Callable[[Named], bool]:
    """Tells whether a probe is meant: one glob has to match one of its names; no globs mean every probe.

    The names are "provider:name", provider, name, class, method and "class#method". Case counts.
    """
    is_one_meant = names_matcher(globs)
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


def names_matcher(globs: Iterable[str]) -> Callable[[Iterable[str]], bool]:
    """Tells whether one of several names is matched by one glob; no globs match everything."""
    patterns = list(dict.fromkeys(globs))
    if not patterns:
        return lambda names: True
    pattern = re.compile("|".join(f"(?:{translate(glob)})" for glob in patterns))
    return lambda names: any(map(pattern.match, names))

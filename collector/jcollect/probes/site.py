"""Attach points of probes: which file, at which offsets, and which words the traced code passes there.

What a probe means is in probe.py. A site needs neither a manifest nor an agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from jcollect.probes.usdt_operands import Operand
from jcollect.procfs.mapped import Mapped
from jcollect.procfs.mapped_answer import FileState
from jcollect.procfs.maps import MappingKey
from jcollect.procfs.process import Process

_T = TypeVar("_T")


@dataclass(frozen=True)
class Backing:
    """The file behind a mapping, in the state in which it was read."""

    mapped: Mapped
    state: FileState
    digest: bytes


class Binary(Protocol):
    """A file with probes that a process has mapped.

    `file` is a path for display: it may lead to another file at any moment, unlike `backing`, which is None
    for a file that was not read from a process. `bias` added to the file offset of a semaphore gives its
    address in the process. `key` identifies the mapping among all of the process.
    """

    @property
    def process(self) -> Process: ...
    @property
    def file(self) -> str: ...
    @property
    def bias(self) -> int: ...
    @property
    def key(self) -> MappingKey: ...
    @property
    def backing(self) -> Backing | None: ...


class SiteOperands(NamedTuple):
    """Where the arguments of a USDT note are: layout/usdt.toml. The first `words` operands make the words.
    `strings` is a mask of words that are addresses of strings, and `lengths` which operands are their
    lengths, by word."""

    operands: tuple[Operand, ...]
    words: int
    strings: int
    lengths: Mapping[int, int]


class Site(NamedTuple):
    """One attach point.

    `location` and `semaphore` are file offsets in bytes; a semaphore of 0 stands for none. `words` is the
    number of 64-bit words, 1 to 13, that are read in the order of the calling convention; bit i of
    `string_mask` is set if word i is a pointer to a string. `is_stub`: the instructions at `location` are a
    stub's, so that the kernel may have a faster attach point than the first one. `is_timed`: one more word
    has the time at which the call ended. `operands` say where the words are, if not in the order of the
    calling convention.
    """

    binary: Binary
    location: int
    semaphore: int
    words: int
    string_mask: int = 0
    is_stub: bool = False
    is_timed: bool = False
    operands: SiteOperands | None = None


def group_by_binary(items: Iterable[_T], binary_of: Callable[[_T], Binary]) -> list[list[_T]]:
    """Returns the items of each binary, in their order."""
    groups: dict[int, list[_T]] = {}
    for item in items:
        groups.setdefault(id(binary_of(item)), []).append(item)
    return list(groups.values())

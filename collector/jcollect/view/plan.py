"""The line of a probe as tokens: what is the same in all its events, and what each event brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jcollect.probes.description import Described
from jcollect.probes.probe import ENTRY, MARK
from jcollect.view.values import Render
from jprobe.v1 import probe_pb2


@dataclass(frozen=True)
class Shown:
    """The indices of the values that are printed of a probe's events, in the order of its schema.

    `own` are its arguments, or the returned value or the exception, if any; `captures` the values that a
    selector captures, by name. `absence` is the index of the mask of absent values; None if it has none.
    """

    own: tuple[int, ...]
    captures: dict[str, int]
    absence: int | None


def shown_of(probe: Described) -> Shown:
    values = list(probe.values)
    absence = None
    if values and values[-1].type == probe_pb2.VALUE_TYPE_ABSENCE:
        absence = len(values) - 1
        values.pop()
    own = [i for i, value in enumerate(values) if not value.path]
    if probe.kind not in (ENTRY, MARK):
        own = own[:1]
    return Shown(tuple(own), {value.name: i for i, value in enumerate(values) if value.path}, absence)


@dataclass(frozen=True)
class Column:
    """A column of the batch, and how it is formatted: "%d"."""

    name: str
    form: str


@dataclass(frozen=True)
class Constant:
    """A text that the probe determines."""


@dataclass(frozen=True)
class Value:
    """A value by its index. What the probe determines: the prefix of a reference."""

    index: int
    render: Render


@dataclass(frozen=True)
class Cut:
    """A text that is printed only if some of these values are truncated strings. What the probe determines:
    what names each value in it, as JSON; None if there is only one."""

    key: str
    indices: tuple[int, ...]


Token = str | Column | Constant | Value | Cut


@dataclass(frozen=True)
class Plan:
    """The line of one probe. Probes with equal `tokens` are formatted together; texts among them are the same
    for all. `constants` has an element for each token that is no text: what the probe determines of it."""

    tokens: tuple[Token, ...]
    constants: tuple[Any, ...]
    absence: int | None

    @property
    def characters(self) -> int:
        """Number of characters of a line, without what each event brings."""
        fixed = (*(token for token in self.tokens if isinstance(token, str)), *self.constants)
        return sum(len(text) for text in fixed if isinstance(text, str))


class PlanBuilder:
    """Builds the plan of one probe."""

    def __init__(self, absence: int | None) -> None:
        self._absence = absence
        self._tokens: list[Token] = []
        self._constants: list[Any] = []
        # Texts since the last token, and whether another probe has others.
        self._text = ""
        self._is_constant = False

    def text(self, text: str) -> PlanBuilder:
        """Adds a text that is equal for all probes of this kind."""
        self._text += text
        return self

    def constant(self, text: str) -> PlanBuilder:
        """Adds a text that depends on the probe."""
        self._is_constant = True
        return self.text(text)

    def column(self, name: str, form: str) -> PlanBuilder:
        return self._add(Column(name, form))

    def value(self, index: int, render: Render, prefix: Any) -> PlanBuilder:
        return self._add(Value(index, render), prefix)

    def cut(self, key: str, indices: Sequence[int], names: Sequence[str] | None) -> PlanBuilder:
        """Adds a text for those of the values with these indices that are truncated, if there are any."""
        return self._add(Cut(key, tuple(indices)), names) if indices else self

    def _add(self, token: Token, constant: Any = None) -> PlanBuilder:
        self._end_text()
        self._tokens.append(token)
        self._constants.append(constant)
        return self

    def _end_text(self) -> None:
        if self._is_constant:
            self._tokens.append(Constant())
            self._constants.append(self._text)
        elif self._text:
            self._tokens.append(self._text)
        self._text, self._is_constant = "", False

    def build(self) -> Plan:
        self._end_text()
        return Plan(tuple(self._tokens), tuple(self._constants), self._absence)

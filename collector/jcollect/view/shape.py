"""Formats the events of all probes whose lines have the same tokens, column by column.

Formatting one event after the other took ten times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np

from jcollect.layout.stub_library import ABSENCE_NULL_SHIFT, ABSENCE_THREW_SHIFT
from jcollect.sources.columns import U64, Columns, Flags
from jcollect.sources.stacks import StackTable
from jcollect.view.explanation_texts import json_member, short_text, texts_of
from jcollect.view.plan import Column, Constant, Cut, Plan, Token, Value
from jcollect.view.texts import Positions, Texts
from jcollect.view.values import ValueColumn, ValueFormat

_SECOND = np.uint64(1_000_000_000)
_MICRO = np.uint64(1000)
# Texts of the explanations of calls, by the name of the column.
_EXPLANATIONS: dict[str, Callable[[dict[str, int | str]], str]] = {
    "explain": lambda values: json_member(values, False),
    "explain_strings": lambda values: json_member(values, True),
    "explained": lambda values: f"; {text}" if (text := short_text(values)) else "",
}


@dataclass(frozen=True)
class Run:
    """Events of one shape: `events` are their indices in the batch, in order; `starts` those of their first
    values in `values`, which belong to `texts` and to `stacks`."""

    columns: Columns
    events: Positions | slice
    starts: Positions
    values: U64
    texts: Texts
    stacks: StackTable


class Shape:
    """The lines of some probes. `strings` are the indices of the values that are strings."""

    def __init__(self, plan: Plan | None, strings: tuple[int, ...], second: str, values: ValueFormat) -> None:
        """`plan` is None if the events are not printed. `second` is the strftime pattern of the column of
        that name."""
        self.strings = strings
        self._second = second
        self._values = values
        self._is_printed = plan is not None
        tokens = plan.tokens if plan is not None else ()
        self._tokens = [token for token in tokens if not isinstance(token, str)]
        self._template = "".join(map(_form, tokens))
        self._absence = plan.absence if plan is not None else None
        # Each token's texts that depend on the probe alone, by probe ID.
        self._constants: list[dict[int, Any]] = [{} for _ in self._tokens]
        self.probes = 0

    def add(self, probe: int, plan: Plan | None) -> None:
        """Adds a probe with a plan of the same tokens."""
        self.probes += 1
        if plan is not None:
            for constants, constant in zip(self._constants, plan.constants, strict=True):
                constants[probe] = constant

    def remove(self, probe: int) -> None:
        """Removes a probe whose ID is reassigned."""
        self.probes -= 1
        for constants in self._constants:
            del constants[probe]

    def lines(self, run: Run) -> list[str] | None:
        """Returns the events as lines; None if they are not printed."""
        if not self._is_printed:
            return None
        cut: dict[int, Flags] = {}
        probes = run.columns.probe[run.events].tolist()
        parts = [
            self._part(token, run, map(constants.__getitem__, probes), cut)
            for token, constants in zip(self._tokens, self._constants, strict=True)
        ]
        return list(map(self._template.__mod__, zip(*parts, strict=False)))

    def _part(
        self, token: Token, run: Run, determined: Iterable[Any], cut: dict[int, Flags]
    ) -> Iterable[Any]:
        """Returns a token's text for each event, and adds to `cut` which values are truncated strings, by
        index. `determined` is what the probes of the events determine."""
        if isinstance(token, Column):
            return self._column(token.name, run)
        if isinstance(token, Constant):
            return determined
        if isinstance(token, Value):
            return self._value(token, run, determined, cut)
        assert isinstance(token, Cut)
        return _cut_texts(token, list(determined), cut)

    def _column(self, name: str, run: Run) -> Iterable[Any]:
        if name == "second":
            seconds = run.columns.time_unix_nanos[run.events] // _SECOND
            if seconds.min() == seconds.max():
                return repeat(second_text(int(seconds[0]), self._second))
            return [second_text(second, self._second) for second in seconds.tolist()]
        if name in ("nanos", "micros"):
            nanos = run.columns.time_unix_nanos[run.events] % _SECOND
            digits: list[int] = (nanos if name == "nanos" else nanos // _MICRO).tolist()
            return digits
        if name == "duration":
            return duration_texts(run.columns.duration_nanos[run.events])
        if name in _EXPLANATIONS:
            explanation = run.columns.explanation
            if explanation is None:
                return repeat("")
            indices = np.arange(len(run.columns))[run.events].tolist()
            return texts_of(explanation, indices, _EXPLANATIONS[name])
        column = getattr(run.columns, name)
        if not len(column):
            # Only starts can be missing: in recordings and streams of earlier versions.
            return repeat(0)
        found: list[int] = column[run.events].tolist()
        return found

    def _value(self, token: Value, run: Run, prefixes: Iterable[Any], cut: dict[int, Flags]) -> list[Any]:
        positions = run.starts + token.index
        column = ValueColumn(run.values[positions], positions, run.texts, prefixes, run.stacks)
        texts = token.render(self._values, column)
        truncated = column.truncated() if token.index in self.strings else None
        if self._absence is not None:
            absent = run.values[run.starts + self._absence]
            for shift, text in (
                # An exception, unless something was null.
                (ABSENCE_THREW_SHIFT, self._values.absent_exception),
                (ABSENCE_NULL_SHIFT, self._values.absent_null),
            ):
                if shift + token.index < 64:
                    is_absent = (absent >> np.uint64(shift + token.index) & np.uint64(1)).astype(np.bool_)
                    for i in np.flatnonzero(is_absent).tolist():
                        texts[i] = text
                    if truncated is not None:
                        truncated &= ~is_absent
        if truncated is not None and truncated.any():
            cut[token.index] = truncated
        return texts


def _form(token: Token) -> str:
    if isinstance(token, str):
        return token.replace("%", "%%")
    return token.form if isinstance(token, Column) else "%s"


def _cut_texts(token: Cut, names: list[Any], cut: dict[int, Flags]) -> Iterable[str]:
    some = [(at, cut[index]) for at, index in enumerate(token.indices) if index in cut]
    if not some:
        return repeat("")
    texts = [""] * len(names)
    for i in np.flatnonzero(np.logical_or.reduce([flags for _, flags in some])).tolist():
        if names[i] is None:
            texts[i] = f',"{token.key}":true'
        else:
            found = ",".join(names[i][at] for at, flags in some if flags[i])
            texts[i] = f',"{token.key}":[{found}]'
    return texts


@lru_cache(maxsize=64)
def second_text(seconds: int, pattern: str) -> str:
    """Returns a UTC time as strftime formats it."""
    return time.strftime(pattern, time.gmtime(seconds))


_UNITS = (("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))
_FORMS = [f"%.{digits}f{unit}" for unit, _ in _UNITS for digits in range(3)]


def duration_texts(nanos: U64) -> list[str]:
    """Returns durations as `duration_text` does."""
    exact = nanos.astype(np.float64)
    unit = np.searchsorted([999.5, 999.5e3, 999.5e6], exact, side="right")
    values = exact / np.array([size for _, size in _UNITS], np.float64)[unit]
    digits = np.where(values >= 99.95, 0, np.where(values >= 9.995, 1, 2))
    digits = np.where(unit == 0, 0, np.where(unit == 3, 2, digits))
    forms = (3 * unit + digits).tolist()
    return [_FORMS[form] % value for form, value in zip(forms, values.tolist(), strict=True)]

"""Evaluates the condition of a subscription on the columns of a batch.

The values of a probe have types, so the condition is compiled for each kind of probe. Probes with the same
values in the same places share the result, and are evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jcollect.hub.condition import (
    Comparison,
    Compound,
    Condition,
    ConditionError,
    Literal,
    Name,
    Negation,
    Operand,
    Sort,
    Truth,
    parse,
)
from jcollect.hub.operands import Column, Constant, Rows, Typed, column_of, compared
from jcollect.probes.description import Described
from jcollect.shortened import shortened
from jcollect.sources.columns import Batch, Flags, with_room
from jprobe.v1 import probe_pb2

# Maximum number of values that a message names, and of characters of each.
_NAMED = 8
_NAMED_LENGTH = 40

Test = Callable[[Rows], Flags]


class _MissingError(Exception):
    """A probe has no value of a name."""


class Where:
    """A condition, and the probes that it has been compiled for. For one thread at a time, except that
    `describe` may run while another thread evaluates."""

    def __init__(self, text: str) -> None:
        """Raises ConditionError."""
        self._condition = parse(text)
        self._missing: ConditionError | None = None
        self._misfit: ConditionError | None = None
        self._is_known = False
        # By kind of probe: its test. By probe ID: the number of its test, -1 for none.
        self._numbers: dict[tuple[object, ...], int] = {}
        self._tests: list[Test] = []
        self._test_of = np.full(1, -1, np.int32)

    def describe(self, probes: Sequence[Described]) -> None:
        """Compiles the condition for probes. Those that lack a value, or whose types do not fit, match no
        event."""
        if not probes:
            return
        highest = max(probe.id for probe in probes)
        self._test_of = with_room(self._test_of, highest + 1, fill=-1)
        for probe in probes:
            self._test_of[probe.id] = self._number(probe)

    def _number(self, probe: Described) -> int:
        kind = (
            *(
                (value.name, value.path, value.type, value.java_type, value.rendered)
                for value in probe.values
            ),
        )
        number = self._numbers.get(kind)
        if number is None:
            try:
                test = _Compiler(probe.values).test(self._condition)
            except _MissingError:
                number = -1
                self._missing = self._missing or _missing(self._condition, probe)
            except ConditionError as error:
                number = -1
                self._misfit = self._misfit or error
            else:
                number = len(self._tests)
                self._tests.append(test)
                self._is_known = True
            self._numbers[kind] = number
        return number

    def check(self) -> None:
        """Raises ConditionError if the condition fits none of the probes so far."""
        problem = self._misfit or self._missing
        if not self._is_known and problem is not None:
            raise problem

    def matches(self, batch: Batch) -> Flags:
        """Returns for which events the condition holds."""
        numbers = self._test_of[batch.columns.probe]
        first = int(numbers[0])
        if (numbers == first).all():
            return self._test(first, Rows(batch, None))
        found = np.zeros(len(batch), np.bool_)
        for number in np.unique(numbers).tolist():
            events = np.flatnonzero(numbers == number)
            found[events] = self._test(number, Rows(batch, events))
        return found

    def _test(self, number: int, rows: Rows) -> Flags:
        return self._tests[number](rows) if number >= 0 else np.zeros(len(rows), np.bool_)


class _Compiler:
    """Compiles conditions for probes with these values."""

    def __init__(self, values: Sequence[probe_pb2.Value]) -> None:
        self._values = values

    def test(self, condition: Condition) -> Test:
        if isinstance(condition, Compound):
            left, right = self.test(condition.left), self.test(condition.right)
            if condition.is_or:
                return lambda rows: left(rows) | right(rows)
            return lambda rows: left(rows) & right(rows)
        if isinstance(condition, Negation):
            negated = self.test(condition.negated)
            return lambda rows: ~negated(rows)
        if isinstance(condition, Truth):
            return self._truth(condition.name)
        return self._comparison(condition)

    def _truth(self, name: Name) -> Test:
        typed = self._typed(name)
        if typed.sort not in (Sort.BOOLEAN, Sort.REFERENCE):
            raise ConditionError(
                name.column, f"'{name.text}' is {typed.sort.value}, not a boolean; compare it"
            )
        test = compared(typed, "==", Constant(Sort.BOOLEAN, True))
        assert test is not None
        return test

    def _comparison(self, written: Comparison) -> Test:
        left, right = self._typed(written.left), self._typed(written.right)
        self._check_duration(written, left, right)
        test = compared(left, written.relation, right)
        if test is None:
            at = written.left.column
            raise ConditionError(
                at,
                f"cannot compare {_described(written.left, left)} with {_described(written.right, right)}"
                f" by {written.relation}",
            )
        return test

    @staticmethod
    def _check_duration(written: Comparison, left: Typed, right: Typed) -> None:
        for one, its, other, others in (
            (written.left, left, written.right, right),
            (written.right, right, written.left, left),
        ):
            if its.sort == Sort.DURATION and isinstance(one, Name) and others.sort != Sort.DURATION:
                raise ConditionError(other.column, "a duration needs a unit, as in 5ms")
            if its.sort == Sort.DURATION and isinstance(one, Literal) and others.sort != Sort.DURATION:
                raise ConditionError(one.column, "only duration is compared with a time")

    def _typed(self, operand: Operand) -> Typed:
        if isinstance(operand, Literal):
            return Constant(operand.sort, operand.value)
        index = self._index(operand)
        if index is not None:
            column = column_of(self._values, index)
            if column.sort == Sort.STACK:
                raise ConditionError(operand.column, f"'{operand.text}' is a stack, which cannot be compared")
            return column
        if operand.text in Column.BUILT_IN:
            return Column.BUILT_IN[operand.text]
        raise _MissingError

    def _index(self, name: Name) -> int | None:
        """Returns the index of a value; None if the probe has none of this name."""
        values = self._values
        if name.argument is not None:
            number = f"arg{name.argument}"
            paths = [at for at, value in enumerate(values) if number in (value.path, value.name)]
            others = [at for at, value in enumerate(values) if _is_argument(value)]
            return paths[0] if paths else others[name.argument] if name.argument < len(others) else None
        for at, value in enumerate(values):
            if value.type != probe_pb2.VALUE_TYPE_ABSENCE and name.text in (value.name, value.path):
                return at
        return None


def _is_argument(value: probe_pb2.Value) -> bool:
    """Returns true for a value that is read when the call begins."""
    root = (value.path or value.name).partition(".")[0]
    return root not in ("return", "exception") and value.type != probe_pb2.VALUE_TYPE_ABSENCE


def _missing(condition: Condition, probe: Described) -> ConditionError:
    """Returns the error for a name that no value has."""
    compiler = _Compiler(probe.values)
    for name in _names(condition):
        try:
            compiler._typed(name)
        except _MissingError:
            known = [value.name for value in probe.values if value.type != probe_pb2.VALUE_TYPE_ABSENCE]
            some = ", ".join(shortened(each, _NAMED_LENGTH) for each in ["duration", *known[:_NAMED]])
            return ConditionError(name.column, f"no probe has a value '{name.text}'; {probe.name} has {some}")
    raise AssertionError("a name is missing")


def _names(condition: Condition) -> list[Name]:
    if isinstance(condition, Compound):
        return _names(condition.left) + _names(condition.right)
    if isinstance(condition, Negation):
        return _names(condition.negated)
    if isinstance(condition, Truth):
        return [condition.name]
    return [side for side in (condition.left, condition.right) if isinstance(side, Name)]


def _described(written: Operand, typed: Typed) -> str:
    return written.text if isinstance(written, Literal) else f"'{written.text}', which is {typed.sort.value},"

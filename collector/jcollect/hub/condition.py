"""Parses the condition of a subscription, `duration > 5ms and args[0] == "Riga"`, into a tree.

The grammar is that of the condition behind "when" in selectors (docs/selectors.md; ConditionParser.java),
except that operands are values that an event has: there are no casts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

# More than anybody writes. The second one keeps recursion over the tree within the stack.
MOST_LENGTH = 512
_MOST_PARTS = 64

_RELATIONS = {
    "==": "==", "!=": "!=", "<=": "<=", ">=": ">=", "<": "<", ">": ">",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_BLANKS = re.compile(r"[~\x00-\x20]*")
_WORD = re.compile(r"[^\W\d][\w-]*|\$[\w$-]*")
_STEPS = re.compile(r"(?:\.[^\W\d][\w$-]*|\(\)|\[[0-9]{1,4}\])*")
_NAME = re.compile(r"[^\W\d$][\w$-]*|\$[\w$-]+")
_SYMBOL = re.compile(r"==|!=|<=|>=|<|>")
_DIGIT = re.compile(r"[+-]?[0-9]")
_HEX = re.compile(r"([+-]?)0[xX]([0-9a-fA-F_]+)[lL]?(?![\w-])")
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]+(?:_+[0-9]+)*)(?:\.(?P<part>[0-9]+(?:_+[0-9]+)*))?"
    r"(?P<exponent>[eE][+-]?[0-9]+)?(?P<suffix>[^\W\d]*)"
)
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t"}


class ConditionError(Exception):
    """A condition cannot be used. The message names the column, counted from 1."""

    def __init__(self, column: int, problem: str) -> None:
        """`column` is counted from 0."""
        super().__init__(f"column {column + 1}: {problem}")


class Sort(Enum):
    """The sort of value that an operand is compared as."""

    NUMBER = "a whole number"
    DECIMAL = "a number"
    CHAR = "a char"
    BOOLEAN = "a boolean"
    STRING = "a string"
    REFERENCE = "an object"
    DURATION = "a duration"
    STACK = "a stack"
    NULL = "null"


@dataclass(frozen=True)
class Literal:
    """A constant as it is written in `text`; a duration is in ns."""

    sort: Sort
    value: int | float | str | bool | None
    text: str
    column: int


@dataclass(frozen=True)
class Name:
    """A value of the event: its name or path, or `args[i]` with its number."""

    text: str
    column: int
    argument: int | None = None


Operand = Literal | Name


@dataclass(frozen=True)
class Comparison:
    left: Operand
    relation: str
    right: Operand


@dataclass(frozen=True)
class Truth:
    """A boolean value that has to be true."""

    name: Name


@dataclass(frozen=True)
class Negation:
    negated: Condition


@dataclass(frozen=True)
class Compound:
    """All conditions have to hold, or with `is_or` one of them."""

    is_or: bool
    left: Condition
    right: Condition


Condition = Comparison | Truth | Negation | Compound


def parse(text: str) -> Condition:
    """Returns the tree of a condition. Raises ConditionError."""
    if len(text) > MOST_LENGTH:
        raise ConditionError(MOST_LENGTH, f"a condition has at most {MOST_LENGTH} characters")
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._parts = 0

    def parse(self) -> Condition:
        condition = self._disjunction()
        self._blanks()
        if self._at < len(self._text):
            raise self._error(f"expected an operator, found {self._found()}")
        return condition

    def _disjunction(self) -> Condition:
        left = self._conjunction()
        while self._accept("||", "or"):
            left = Compound(True, left, self._conjunction())
        return left

    def _conjunction(self) -> Condition:
        left = self._negation()
        while self._accept("&&", "and"):
            left = Compound(False, left, self._negation())
        return left

    def _negation(self) -> Condition:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise self._error(f"a condition has at most {_MOST_PARTS} parts")
        self._blanks()
        if self._text[self._at : self._at + 2] != "!=" and self._accept("!", "not"):
            return Negation(self._negation())
        bracket = self._text[self._at : self._at + 1]
        if bracket not in ("(", "["):
            return self._comparison()
        self._at += 1
        inner = self._disjunction()
        self._blanks()
        close = ")" if bracket == "(" else "]"
        if self._text[self._at : self._at + 1] != close:
            raise self._error(f"expected '{close}' or an operator, found {self._found()}")
        self._at += 1
        return inner

    def _comparison(self) -> Condition:
        left = self._operand()
        relation = self._relation()
        if relation is None:
            return self._truth(left)
        right = self._operand()
        if isinstance(left, Literal) and isinstance(right, Literal):
            raise ConditionError(left.column, "expected a value of the event on one side, as in arg0")
        at = self._at
        if self._relation() is not None:
            self._at = at
            self._blanks()
            raise self._error("a comparison has two sides; join two comparisons with &&")
        return Comparison(left, relation, right)

    def _truth(self, operand: Operand) -> Condition:
        if isinstance(operand, Name) and operand.text != "duration":
            return Truth(operand)
        example = ", as in duration > 5ms" if isinstance(operand, Name) else f" after {operand.text}"
        raise self._error(f"expected a comparison{example}, found {self._found()}")

    def _relation(self) -> str | None:
        self._blanks()
        symbol = _SYMBOL.match(self._text, self._at) or _WORD.match(self._text, self._at)
        if symbol is not None and symbol.group() in _RELATIONS:
            self._at = symbol.end()
            return _RELATIONS[symbol.group()]
        if self._text.startswith("=", self._at):
            raise self._error("expected '==' to compare, found a single '='")
        return None

    def _operand(self) -> Operand:
        self._blanks()
        at = self._at
        first = self._text[at : at + 1]
        if first in ('"', "'") and first:
            return self._string(first)
        if _DIGIT.match(self._text, at):
            return self._number()
        word = _NAME.match(self._text, at)
        if word is None:
            raise self._error(f"expected a value, as in arg0 > 5, found {self._found()}")
        if word.group() in ("true", "false"):
            self._at = word.end()
            return Literal(Sort.BOOLEAN, word.group() == "true", word.group(), at)
        if word.group() == "null":
            self._at = word.end()
            return Literal(Sort.NULL, None, "null", at)
        steps = _STEPS.match(self._text, word.end())
        assert steps is not None
        self._at = steps.end()
        index = re.fullmatch(r"\[([0-9]+)\]", steps.group()) if word.group() == "args" else None
        return Name(self._text[at : self._at], at, None if index is None else int(index.group(1)))

    def _number(self) -> Literal:
        at = self._at
        found = _HEX.match(self._text, at)
        if found is not None and found.group(2).strip("_"):
            self._at = found.end()
            bits = int(found.group(2).replace("_", ""), 16)
            # Sixteen digits give all bits of a long, as in Java.
            bits = bits - 2**64 if bits.bit_length() == 64 else bits
            return self._whole(-bits if found.group(1) == "-" else bits, at)
        number = _NUMBER.match(self._text, at)
        assert number is not None
        self._at = number.end()
        sign, whole, part, exponent, suffix = number.group("sign", "whole", "part", "exponent", "suffix")
        digits = f"{sign}{whole}" + (f".{part}" if part else "")
        digits = digits.replace("_", "")
        if not suffix and (part or exponent):
            return Literal(Sort.DECIMAL, float(digits + (exponent or "")), number.group(), at)
        if exponent:
            raise ConditionError(number.start("suffix"), f"'{suffix}' cannot follow an exponent")
        if not part and suffix in ("", "l", "L"):
            return self._whole(int(digits), at)
        if suffix not in _UNITS:
            raise ConditionError(
                number.start("suffix"), f"unknown unit '{suffix}'; expected ns, us, ms, s or min"
            )
        if sign == "-":
            raise ConditionError(at, "a duration cannot be negative")
        nanos = _scaled(digits.lstrip("+"), _UNITS[suffix])
        return Literal(Sort.DURATION, self._whole(nanos, at).value, number.group(), at)

    def _whole(self, value: int, at: int) -> Literal:
        if not -(2**63) <= value < 2**63:
            raise ConditionError(at, "the number is too large")
        return Literal(Sort.NUMBER, value, self._text[at : self._at], at)

    def _string(self, quote: str) -> Literal:
        at = self._at
        self._at += 1
        parts = []
        while self._text[self._at : self._at + 1] != quote:
            if self._at >= len(self._text):
                raise ConditionError(at, f"this string is not closed, {quote} is missing")
            parts.append(self._escaped() if self._text[self._at] == "\\" else self._text[self._at])
            self._at += 1
        self._at += 1
        return Literal(Sort.STRING, "".join(parts), self._text[at : self._at], at)

    def _escaped(self) -> str:
        """Returns the character of an escape, and moves to its last one."""
        at = self._at
        self._at += 1
        letter = self._text[self._at : self._at + 1]
        if letter in _ESCAPES and letter:
            return _ESCAPES[letter]
        if letter != "u":
            raise ConditionError(at, "expected one of \\\" \\' \\\\ \\n \\t \\uXXXX")
        digits = self._text[self._at + 1 : self._at + 5]
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise ConditionError(at, "expected four hexadecimal digits after \\u")
        self._at += 4
        return chr(int(digits, 16))

    def _accept(self, symbol: str, word: str) -> bool:
        self._blanks()
        if self._text.startswith(symbol, self._at):
            self._at += len(symbol)
            return True
        found = _WORD.match(self._text, self._at)
        if found is not None and found.group() == word:
            self._at = found.end()
            return True
        if len(symbol) == 2 and self._text.startswith(symbol[0], self._at):
            raise self._error(f"expected '{symbol}', found a single '{symbol[0]}'")
        return False

    def _blanks(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        assert blanks is not None
        self._at = blanks.end()

    def _found(self) -> str:
        if self._at >= len(self._text):
            return "the end"
        word = _WORD.match(self._text, self._at)
        return f"'{word.group() if word else self._text[self._at]}'"

    def _error(self, problem: str) -> ConditionError:
        return ConditionError(self._at, problem)


def _scaled(digits: str, unit: int) -> int:
    """Returns a decimal number times a unit, without its fraction."""
    whole, _, part = digits.partition(".")
    scale: int = 10 ** len(part)
    return int(whole + part) * unit // scale

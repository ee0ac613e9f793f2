"""Types of arguments. What they reject ends the command with a sentence before anything is done.

Python's own conversions would accept infinity, NaN, underscores and the digits of every script.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from jcollect.session.marks_of_jvm import JVM_EVENTS
from jcollect.session.options import PARTS

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # Generic since click 8.4.

_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15})\s?(|[KMGT]i?B?|B)", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LEAST_SIZE = 1 << 20
_DECIMAL = re.compile(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]{1,3})?|[0-9]+\.", re.ASCII | re.IGNORECASE)
# 31 years. Timers of the kernel and of gRPC overflow beyond 292 years.
MOST_SECONDS = 1e9
# PIDs of Linux have at most 22 bits.
_MOST_PID = 1 << 22


class WholeNumber(_Type):
    """A number in ASCII digits."""

    name = "integer"

    def __init__(self, least: int = 1, most: int | None = None) -> None:
        self._least = least
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        number = int(text) if _WHOLE.fullmatch(text) else None
        if number is None and self._most is None and text.isascii() and text.isdigit():
            self.fail(f"{value} is too large", param, ctx)
        if number is None or number < self._least or (self._most is not None and number > self._most):
            self.fail(f"'{value}' is not {self._expected()}", param, ctx)
        return number

    def _expected(self) -> str:
        if self._most is None:
            return f"a whole number of at least {self._least:,}"
        return f"a whole number from {self._least:,} to {self._most:,}"


class Pid(WholeNumber):
    """A process ID."""

    def __init__(self) -> None:
        super().__init__(most=_MOST_PID)

    def _expected(self) -> str:
        return f"a PID, a number from 1 to {_MOST_PID} as jcollect ps lists them"


class Seconds(_Type):
    """A finite time in s: more than 0, or at least `least`."""

    name = "float"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        is_number = isinstance(value, (int, float)) or _DECIMAL.fullmatch(str(value))
        seconds = float(str(value)) if is_number else 0.0
        if not (self._least <= seconds <= MOST_SECONDS and seconds > 0):
            range_text = f"of at least {self._least:g}" if self._least else "greater than 0"
            self.fail(
                f"'{value}' is not a number of seconds {range_text}, and at most {MOST_SECONDS:,.0f}",
                param,
                ctx,
            )
        return seconds


class Size(_Type):
    """A size of at least 1 MiB, in bytes or with a unit: 500MB, 1GiB."""

    name = "size"

    def __init__(self, or_none: bool = False) -> None:
        """With `or_none`, 0 is a size too."""
        self._or_none = or_none

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        size = -1
        if found:
            unit = found[2].lower().removesuffix("b")
            size = int(found[1]) * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit.removesuffix("i")]
        if not _LEAST_SIZE <= size < 1 << 60 and not (self._or_none and size == 0):
            self.fail(f"'{value}' is not a size of at least 1MiB, such as 500MB or 1GiB", param, ctx)
        return size


class Text(_Type):
    """Text that is UTF-8, as names of Java and messages to the agent are. A path may be any bytes."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"'{text}' is not UTF-8", param, ctx)
        return text


class Format(_Type):
    """The name of a format of events. Imports the formats only if one is given: they load numpy."""

    name = "format"

    # click 8.1 passes no context.
    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(_formats())}]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value)
        if name not in _formats():
            self.fail(f"'{name}' is not a format of events; use {' or '.join(_formats())}", param, ctx)
        return name


def _formats() -> list[str]:
    from jcollect.view.line_formats import NAMES

    return list(NAMES)


TEXT = Text()


# Names of parts, other ones of a part, and of several.
_PARTS = {**{part: (part,) for part in PARTS}, "runq": ("cpu",), "offcpu": ("cpu",), "all": PARTS}


class ExplainedParts(_Type):
    """Parts of calls to explain, as a frozenset of PARTS."""

    name = "parts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        if isinstance(value, frozenset):
            return value
        words = [word.strip() for word in value.split(",")] if value else []
        for word in words:
            if word not in _PARTS:
                self.fail(f"{word!r} is not a part of a call; the parts are {', '.join(_PARTS)}", param, ctx)
        return frozenset(part for word in words for part in _PARTS[word])


class JvmKinds(_Type):
    """Kinds of JVM_EVENTS, as a tuple without repetitions."""

    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        kinds = [word.strip() for word in value.split(",")] if value else []
        for kind in kinds:
            if kind not in JVM_EVENTS:
                self.fail(
                    f"{kind!r} is no kind of events of the JVM; the kinds are {', '.join(JVM_EVENTS)}",
                    param,
                    ctx,
                )
        return tuple(dict.fromkeys(kinds))

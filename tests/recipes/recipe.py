"""Recipes and the programs that they trace, as plain values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from java_target import Jdk

_EVENT = re.compile(r"[\d:]{8}\.\d{6} (\d+)/(\d+) (\S+?)#(\S+) (entry|return|throw) ?(.*)")
_CAPTURE = re.compile(r'([\w.]+)=("(?:[^"\\]|\\.)*"|<[^>]*>|[^\s,)]+)')
_DURATION = re.compile(r"([\d.,]+)(ns|us|ms|s)\b")
_NANOS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
_HITS = re.compile(r"([\d,]+) hits = (.*? lost)")


@dataclass(frozen=True)
class Event:
    """An event as `-o compact` prints it."""

    type: str
    method: str
    kind: str
    captures: dict[str, str]
    """Captured values; strings without their quotes."""
    nanos: float
    """Duration; 0 for an entry."""
    rest: str
    """The line after the kind."""

    def number(self, name: str) -> int:
        return int(self.captures[name])


@dataclass
class Run:
    """Output of the commands of a recipe, and the figures of the program itself."""

    output: list[list[str]] = field(default_factory=list)
    """Lines of each command."""
    figures: dict[str, int] = field(default_factory=dict)
    """The program's own figures after the load."""

    @property
    def lines(self) -> list[str]:
        return [line for lines in self.output for line in lines]

    @property
    def events(self) -> list[Event]:
        return [event for line in self.lines if (event := parse_event(line))]

    @property
    def hits(self) -> dict[str, int]:
        """Numbers of the last line of `jcollect attach`: hits, delivered, filtered, throttled, lost."""
        found = [match for line in self.lines if (match := _HITS.search(line))]
        terms = re.findall(r"([\d,]+) (delivered|filtered|throttled|lost)", found[-1][2])
        return {"hits": to_number(found[-1][1]), **{name: to_number(text) for text, name in terms}}


def to_number(text: str) -> int:
    return int(text.replace(",", ""))


def unquoted(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text.removeprefix('"').removesuffix('"'))


def parse_event(line: str) -> Event | None:
    match = _EVENT.fullmatch(line)
    if not match:
        return None
    duration = _DURATION.match(match[6])
    return Event(
        type=match[3],
        method=match[4],
        kind=match[5],
        captures={name: unquoted(text) for name, text in _CAPTURE.findall(match[6])},
        nanos=float(duration[1].replace(",", "")) * _NANOS[duration[2]] if duration else 0,
        rest=match[6],
    )


@dataclass(frozen=True)
class Recipe:
    """A question, and the commands that answer it.

    In the commands, PID, `libs/` and the like stand for this run's: see running.py. A command
    that ends with `&` runs until the others have ended.
    """

    question: str
    commands: tuple[str, ...]
    shows: tuple[tuple[str, ...], ...]
    """For each command, patterns of the output lines that the page shows, in order. All must be found."""
    reading: str
    check: Callable[[Run], None]
    """Compares the output with the program's own figures."""
    load: str = ""
    """Command to the program, which makes the calls. Empty if the last command does."""


class Started(Protocol):
    """A program that runs."""

    pid: int
    replacements: dict[str, str]
    """What some words in commands stand for in this run."""

    def load(self, command: str) -> dict[str, int]:
        """Lets the program work. Returns its own figures."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Program:
    """A program from Maven Central and its recipes."""

    name: str
    """Name of its folder, and of its configuration in build.gradle."""
    title: str
    introduction: str
    start: Callable[[Jdk, str, Path], Started]
    """Starts it on a JDK, with its class path, and a folder for its files."""
    recipes: tuple[Recipe, ...]

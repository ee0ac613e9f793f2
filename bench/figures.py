"""Reduces measurements to figures, one line each, and writes them to a small file.

A bench returns nested dictionaries whose leaves are numbers, texts, or lists of repeated measurements. The
keys on the way to a leaf name the figure, the last one with its unit. Of a list, only the median, the
extremes and the number of measurements are kept.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

COLUMNS = ("figure", "median", "least", "most", "measurements")


@dataclass(frozen=True)
class Figure:
    """One line of a results file."""

    name: str
    values: tuple[float | str, ...]

    def __str__(self) -> str:
        texts = [value for value in self.values if isinstance(value, str)]
        if texts:
            return "\t".join((self.name, *texts))
        numbers = [value for value in self.values if not isinstance(value, str)]
        if len(numbers) == 1:
            return f"{self.name}\t{number(numbers[0])}"
        spread = (statistics.median(numbers), min(numbers), max(numbers))
        return "\t".join((self.name, *map(number, spread), str(len(numbers))))


def number(value: float) -> str:
    """Formats a value with four significant digits, and integers in full."""
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def figures(measured: Any, *names: str) -> Iterator[Figure]:
    """Yields the figures of a bench's result. Raises TypeError if a leaf is neither a number nor a text."""
    if isinstance(measured, Mapping):
        for name, value in measured.items():
            yield from figures(value, *names, str(name))
    elif isinstance(measured, Sequence) and not isinstance(measured, str):
        if all(isinstance(one, Mapping) for one in measured):
            keys = dict.fromkeys(key for one in measured for key in one)
            yield from figures({key: [one[key] for one in measured] for key in keys}, *names)
        elif all(isinstance(one, (int, float)) for one in measured):
            yield Figure(" / ".join(names), tuple(measured))
        else:
            raise TypeError(f"{' / '.join(names)}: cannot reduce {measured!r:.80} to one figure")
    elif isinstance(measured, (int, float, str)):
        yield Figure(" / ".join(names), (measured,))
    else:
        raise TypeError(f"{' / '.join(names)}: {measured!r:.80} is neither a number nor a text")


def header(started: datetime, jdks: Mapping[str, str]) -> str:
    """Returns the lines that state when and on what machine the figures were measured."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = ", ".join(f"{name} {version}" for name, version in jdks.items())
    return (
        f"# {started:%Y-%m-%d %H:%M} UTC, {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}{f', {versions}' if versions else ''}\n" + "\t".join(COLUMNS) + "\n"
    )


def lines(results: Mapping[str, Any]) -> str:
    return "".join(f"{figure}\n" for figure in figures(results))

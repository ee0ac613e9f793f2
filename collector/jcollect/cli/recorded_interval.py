"""Parses which part of a recording is meant: FILE, or FILE@FROM..TO."""

from __future__ import annotations

import datetime
import os
import re
from dataclasses import dataclass

from jcollect.errors import InvalidCommandError

_SPAN = re.compile(r"(.+)@([^@]*)\.\.([^@]*)", re.DOTALL)
_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?", re.ASCII)
_SINCE_BEGIN = re.compile(r"\+([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min|h)?", re.ASCII)
_NANOS = {"ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000}
_DAY = 86_400 * 1_000_000_000
_FOREVER = (1 << 64) - 1


@dataclass(frozen=True)
class RecordedInterval:
    """A recording, and the times of its part as written; empty for its begin or its end."""

    path: str
    begin: str
    end: str

    def within(self, first: int) -> tuple[int, int]:
        """Returns the times in ns since 1970, from the first to before the second, given the time of the
        first event. Raises InvalidCommandError."""
        begin = _nanos(self.begin, first, self) if self.begin else 0
        end = _nanos(self.end, first, self) if self.end else _FOREVER
        if end <= begin and _TIME_OF_DAY.fullmatch(self.end):
            # Past midnight.
            end += _DAY
        if end <= begin:
            raise InvalidCommandError(f"cannot read {self}: its end is not after its begin")
        return begin, end

    def __str__(self) -> str:
        return f"{self.path}@{self.begin}..{self.end}" if self.begin or self.end else self.path


def recorded_interval(text: str) -> RecordedInterval:
    """Parses an argument. A file whose name looks like an interval is meant if it exists. Raises
    InvalidCommandError."""
    found = None if os.path.exists(text) else _SPAN.fullmatch(text)
    if found is None:
        return RecordedInterval(text, "", "")
    interval = RecordedInterval(*found.groups())
    for time in filter(None, (interval.begin, interval.end)):
        _nanos(time, 0, interval)
    return interval


def _nanos(text: str, first: int, interval: RecordedInterval) -> int:
    """Returns a time: after the begin of the recording, of its day, or with a date."""
    if since := _SINCE_BEGIN.fullmatch(text):
        return first + round(float(since[1]) * _NANOS[since[2] or "s"])
    if of_day := _TIME_OF_DAY.fullmatch(text):
        hours, minutes, seconds = int(of_day[1]), int(of_day[2]), int(of_day[3] or 0)
        if hours < 24 and minutes < 60 and seconds < 60:
            nanos = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000
            at = first - first % _DAY + nanos + round(float(of_day[4] or 0) * 1e9)
            # A recording that began late in the evening: a time in the morning is of the next day.
            return at + _DAY if first and first - at > _DAY // 2 else at
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidCommandError(
            f"cannot read {interval}: '{text}' is not a time such as 10:05, 10:05:30.5, +90s after the "
            "begin, or 2026-11-22T10:05:00"
        ) from None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(round(date.timestamp() * 1e6), 0) * 1000

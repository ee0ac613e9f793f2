"""Groups exceptions by class and message.

An exception that leaves several traced methods has a throw event for each. It counts once, where it began:
the outer calls cover the inner one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jcollect.cli.call_block import call_json, iso_time, method_of
from jcollect.cli.event_text import exception_class, exception_message
from jcollect.rpc.public.event import Event, Missing
from jcollect.view.nesting import thread_key

# Kinds of exceptions, and methods of each. Messages may be of any number: those beyond count together.
MOST_GROUPS = 4096
MOST_METHODS = 16
_MOST_THREADS = 1 << 16
_DIGITS = re.compile(r"\d+")


@dataclass
class Group:
    """Exceptions of a class with a message; None if it has none, or none is captured. `methods` are those
    in which they began, and `passed` those that they left then. Times in ns since 1970. `sample` is the
    first one."""

    name: str
    message: str | None
    sample: Event
    count: int = 0
    first: int = 0
    last: int = 0
    # Methods as dicts: sets in order.
    methods: dict[str, None] = field(default_factory=dict)
    passed: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Thrown:
    """The last exception of a thread: its group, and the begin of the call that it left."""

    key: tuple[str, str | None]
    start: int


class ExceptionGroups:
    """The exceptions of one stream. `count` has all, and `others` those of kinds beyond the limit."""

    def __init__(self, folds_digits: bool) -> None:
        """With `folds_digits`, messages that differ in their digits only are of one kind."""
        self._folds_digits = folds_digits
        self._groups: dict[tuple[str, str | None], Group] = {}
        self._last: dict[tuple[int, int], _Thrown] = {}
        self.count = self.others = 0

    def add(self, event: Event) -> None:
        name = exception_class(event)
        found = exception_message(event)
        message = None if found is None or isinstance(found, Missing) else str(found)
        if message is not None and self._folds_digits:
            message = _DIGITS.sub("N", message)
        key = (name, message)
        passes = self._passes(event, key)
        group = self._groups.get(key)
        if group is None and len(self._groups) < MOST_GROUPS and not passes:
            group = self._groups[key] = Group(name, message, event, first=event.time_unix_nanos)
        if passes:
            if group is not None and len(group.passed) < MOST_METHODS:
                group.passed[method_of(event)] = None
            return
        self.count += 1
        if group is None:
            self.others += 1
            return
        group.count += 1
        group.last = event.time_unix_nanos
        if len(group.methods) < MOST_METHODS:
            group.methods[method_of(event)] = None

    def _passes(self, event: Event, key: tuple[str, str | None]) -> bool:
        """Returns true if the exception has left an inner call before."""
        thread = thread_key(event.probe.pid, event.tid, event.thread)
        start = event.start_unix_nanos or event.time_unix_nanos - event.duration_nanos
        last = self._last.pop(thread, None)
        if len(self._last) >= _MOST_THREADS:
            self._last.clear()
        self._last[thread] = _Thrown(key, start)
        return last is not None and last.key == key and start <= last.start

    def in_order(self) -> list[Group]:
        """Returns the kinds, the most frequent first."""
        return sorted(self._groups.values(), key=lambda each: (-each.count, each.name, each.message or ""))

    def json(self, seconds: float) -> Iterable[dict[str, Any]]:
        """Yields a value for each kind, and one for those beyond the limit if there are any."""
        for group in self.in_order():
            yield {
                "exception": group.name,
                "message": group.message,
                "count": group.count,
                "per_second": round(group.count / seconds, 3) if seconds > 0 else None,
                "first": iso_time(group.first),
                "last": iso_time(group.last),
                "methods": list(group.methods),
                "passed": list(group.passed),
                "sample": call_json(group.sample),
            }
        if self.others:
            yield {"exception": None, "others": self.others}

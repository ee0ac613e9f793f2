"""Prints what JVMs do by themselves, for `jcollect jvm`: pauses, compilations, contended monitors."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

import numpy as np

from jcollect.cli.event_picker import EventPicker
from jcollect.cli.jvm_events import JvmEvent, JvmEvents
from jcollect.cli.report import Lines
from jcollect.console import Stdout, plural, status, warn
from jcollect.hub.items import EncodedEvents, Events, Item, Loss, Schema
from jcollect.printable import printable
from jcollect.view.formats import duration_text
from jcollect.view.losses import Losses

_NANOS = 1_000_000_000


@dataclass
class _Total:
    """Events of one kind; times in ns."""

    count: int = 0
    nanos: int = 0
    longest: int = 0
    durations: list[int] = field(default_factory=list)


class JvmReport:
    """A report (cli/report.py). Prints events of at least `least` ns, those without an end if it is 0; those
    of VM operations only `with_operations`."""

    def __init__(self, out: Stdout, least: int, as_json: bool, with_operations: bool) -> None:
        self._lines = Lines(out)
        self._least = least
        self._as_json = as_json
        self._with_operations = with_operations
        self._picker = EventPicker()
        self._events = JvmEvents()
        self._losses = Losses()
        self._totals: dict[str, _Total] = {}

    done = False

    @property
    def lost(self) -> int:
        return self._losses.total

    def drawing(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def take(self, item: Item) -> None:
        if isinstance(item, Schema):
            self._picker.describe(item.probes)
        elif isinstance(item, Loss):
            self._losses.take(item)
        elif isinstance(item, (Events, EncodedEvents)):
            wanted = np.ones(len(item.columns), np.bool_)
            found = [done for event in self._picker.pick(item, wanted) for done in self._events.take(event)]
            found = [each for each in found if self._with_operations or each.kind != "vmop"]
            for each in found:
                self._count(each)
            shown = [each for each in found if (each.duration_nanos or 0) >= self._least]
            if self._as_json:
                self._lines.write_json(map(_json, shown))
            else:
                self._lines.write(map(_line, shown))

    def refresh(self) -> None:
        """Nothing: events are printed as they come."""

    def finish(self) -> None:
        for kind, total in sorted(self._totals.items()):
            text = f"{kind}: {plural(total.count, 'event')}"
            if total.nanos:
                text += f", {duration_text(total.nanos)} in total, longest {duration_text(total.longest)}"
            status(text)
        if self.lost:
            warn(f"{plural(self.lost, 'event')} lost: durations next to them may be missing")

    def _count(self, event: JvmEvent) -> None:
        total = self._totals.setdefault(event.kind, _Total())
        total.count += 1
        total.nanos += event.duration_nanos or 0
        total.longest = max(total.longest, event.duration_nanos or 0)


def _line(event: JvmEvent) -> str:
    seconds, nanos = divmod(event.time_unix_nanos, _NANOS)
    clock = time.strftime("%H:%M:%S", time.gmtime(seconds))
    duration = "" if event.duration_nanos is None else duration_text(event.duration_nanos)
    text = f"{clock}.{nanos // 1000:06d} {event.kind:<12} {duration:>7}  {_about(event)}"
    return text.rstrip()


def _about(event: JvmEvent) -> str:
    """Returns what an event was about, in words."""
    about = event.about
    if event.kind == "safepoint":
        reason, operation = str(about.get("reason", "")), str(about.get("operation", ""))
        text = reason if reason == operation else f"{reason} ({operation})"
        return printable(text) if operation else ""
    if event.kind == "gc":
        manager = str(about.get("manager") or "collection")
        return printable(f"{manager}, full" if about.get("full") else manager)
    if event.kind == "compile":
        failed = "" if about.get("success", 1) else " failed"
        method = f"{str(about.get('class', '')).replace('/', '.')}#{about.get('method', '')}"
        return printable(f"{about.get('compiler', '')} {method}{about.get('descriptor', '')}{failed}")
    if event.kind in ("monitor", "wait"):
        return printable(
            f"{str(about.get('class', '')).replace('/', '.')} in thread {about.get('thread_id', '')}"
        )
    if event.kind in ("class load", "class unload"):
        return printable(str(about.get("class", "")).replace("/", "."))
    if event.kind.startswith("thread"):
        return printable(f"{about.get('name', '')} ({about.get('thread_id', '')})")
    return printable(" ".join(f"{key}={value}" for key, value in about.items()))


def _json(event: JvmEvent) -> dict[str, object]:
    seconds, nanos = divmod(event.time_unix_nanos, _NANOS)
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    found: dict[str, object] = {
        "time": f"{when}.{nanos:09d}Z", "pid": event.pid, "tid": event.tid, "event": event.kind
    }  # fmt: skip
    if event.duration_nanos is not None:
        found["duration_ns"] = event.duration_nanos
    return found | dict(event.about)

"""Pairs the events of the JVM's own probes: what began and ended, how long it took, and what it was about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from jcollect.hub.pauses import label_of
from jcollect.rpc.public.event import Event

# Begins that have no end yet, of all processes: threads times kinds.
_MOST_OPEN = 65536


@dataclass(frozen=True)
class JvmEvent:
    """Something that a JVM did. Times in ns; a duration of None is that of an event without an end. `about`
    says what it was, by the keys of its JSON object."""

    kind: str
    pid: int
    tid: int
    time_unix_nanos: int
    duration_nanos: int | None
    about: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    """A kind of event with a begin and an end: the names of their probes, and whether its thread ends it."""

    kind: str
    begin: str
    end: str
    by_thread: bool = True


_PAIRS: Final = (
    _Pair("safepoint", "safepoint__begin", "safepoint__end", by_thread=False),
    _Pair("gc", "gc__begin", "gc__end", by_thread=False),
    _Pair("vmop", "vmops__begin", "vmops__end", by_thread=False),
    _Pair("compile", "method__compile__begin", "method__compile__end"),
    _Pair("monitor", "monitor__contended__enter", "monitor__contended__entered"),
    _Pair("wait", "monitor__wait", "monitor__waited"),
)
_BEGINS: Final = {pair.begin: pair for pair in _PAIRS}
_ENDS: Final = {pair.end: pair for pair in _PAIRS}
_INSTANTS: Final = {
    "thread__start": "thread start",
    "thread__stop": "thread end",
    "class__loaded": "class load",
    "class__unloaded": "class unload",
    "object__alloc": "allocation",
}
_PROVIDERS: Final = ("hotspot", "hs_private")


class JvmEvents:
    """Takes single events, in order."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, int], Event] = {}
        # The operation of the current safepoint, and the collector, by PID.
        self._operation: dict[int, str] = {}
        self._manager: dict[int, str] = {}
        self.unpaired = 0

    def take(self, event: Event) -> Iterator[JvmEvent]:
        """Yields what has ended with an event."""
        probe = event.probe
        if probe.provider not in _PROVIDERS:
            return
        if probe.name in _INSTANTS:
            about = _known(event)
            yield JvmEvent(_INSTANTS[probe.name], probe.pid, event.tid, event.time_unix_nanos, None, about)
        elif probe.name == "mem__pool__gc__begin":
            self._manager[probe.pid] = str(event.values.get("manager", ""))
        elif (pair := _BEGINS.get(probe.name)) is not None:
            self._begin(pair, event)
        elif (pair := _ENDS.get(probe.name)) is not None:
            begin = self._open.pop(_key(pair, event), None)
            if begin is None:
                # It began before, or its begin was lost.
                self.unpaired += 1
                return
            yield self._ended(pair, begin, event)

    def _begin(self, pair: _Pair, event: Event) -> None:
        if pair.kind == "vmop":
            self._operation[event.probe.pid] = str(event.values.get("operation", ""))
        if len(self._open) >= _MOST_OPEN:
            self._open.clear()
        if _key(pair, event) in self._open:
            self.unpaired += 1
        self._open[_key(pair, event)] = event

    def _ended(self, pair: _Pair, begin: Event, end: Event) -> JvmEvent:
        pid = begin.probe.pid
        about = _known(begin)
        if pair.kind == "safepoint":
            operation = self._operation.pop(pid, "")
            about = {"operation": operation, "reason": label_of(operation)} if operation else {}
        elif pair.kind == "gc":
            about["manager"] = self._manager.pop(pid, "")
        elif pair.kind == "compile" and "success" in end.values:
            about["success"] = _plain(end.values["success"])
        duration = max(0, end.time_unix_nanos - begin.time_unix_nanos)
        return JvmEvent(pair.kind, pid, begin.tid, begin.time_unix_nanos, duration, about)


def _key(pair: _Pair, event: Event) -> tuple[str, int, int]:
    return pair.kind, event.probe.pid, event.tid if pair.by_thread else 0


def _known(event: Event) -> dict[str, str | int]:
    return {name: _plain(value) for name, value in event.values.items()}


def _plain(value: object) -> str | int:
    return value if isinstance(value, (int, str)) else str(value)

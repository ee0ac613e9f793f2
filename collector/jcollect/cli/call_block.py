"""Shows one call as a readable block, and as JSON: its values, how it ended, where its time went, its stack.

Values, stack and explanation are shown as far as the event has them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from jcollect.cli.event_text import exception_class, exception_message, outcome_text, stack_of, value_text
from jcollect.console import plural
from jcollect.printable import printable
from jcollect.rpc.public.event import Event, Missing, ObjectText, Value
from jcollect.rpc.public.explanation import Explanation
from jcollect.view.formats import duration_text

_INDENT = "    "
_NANOS = 1_000_000_000
# Below this part of a call, a part of its time is not worth a word.
_LEAST_SHARE = 0.005
# Frames of a block; JSON has all.
MOST_FRAMES = 32
# The same of a call that is printed as it comes.
LIVE_FRAMES = 8


def method_of(event: Event) -> str:
    return f"{event.probe.class_name}#{event.probe.method}"


def time_text(nanos: int) -> str:
    """Returns a time in ns since 1970 as the UTC time of day, to the microsecond."""
    seconds, rest = divmod(nanos, _NANOS)
    return f"{time.strftime('%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06d}"


def iso_time(nanos: int) -> str:
    """Returns a time in ns since 1970 as the events' JSON has it."""
    seconds, rest = divmod(nanos, _NANOS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def began_at(event: Event) -> int:
    """Returns when a call began, in ns since 1970: measured, or estimated from its end."""
    return event.start_unix_nanos or max(event.time_unix_nanos - event.duration_nanos, 0)


def block_lines(event: Event, rank: str = "", frames_shown: int = MOST_FRAMES) -> Iterator[str]:
    """Yields the lines of a block."""
    thread = f"thread {event.thread}" if event.thread else f"kernel thread {event.tid}"
    began = time_text(began_at(event))
    yield f"{rank}{duration_text(event.duration_nanos)}  {printable(method_of(event))}  {began} {thread}"
    captured = [each for each in event.probe.values if each.path and each.path != "return"]
    captured = [each for each in captured if not isinstance(event.values.get(each.name), tuple)]
    returned = [each for each in event.probe.values if not each.path or each.path == "return"]
    for each in captured:
        yield f"{_INDENT}{printable(each.name)} = {value_text(event.values.get(each.name))}"
    if event.probe.kind == "throw":
        yield f"{_INDENT}threw {outcome_text(event)}"
    elif returned:
        yield f"{_INDENT}returned {value_text(event.values.get(returned[0].name))}"
    if event.explanation is not None:
        for line in explanation_lines(event.explanation, event.duration_nanos):
            yield f"{_INDENT}{line}"
    frames = stack_of(event)
    for frame in frames[:frames_shown]:
        yield f"{_INDENT}  at {printable(frame)}"
    if len(frames) > frames_shown:
        yield f"{_INDENT}  … {plural(len(frames) - frames_shown, 'frame')} more"


def explanation_lines(found: Explanation, duration: int) -> Iterator[str]:
    """Yields sentences about where the time of a call went."""
    total = duration_text(duration)
    if found.pause_nanos:
        why = f" ({printable(found.pause)})" if found.pause else ""
        yield f"of {total}, {duration_text(found.pause_nanos)} in pauses of the JVM{why}"
    parts = (
        ("on a CPU", found.on_cpu_nanos),
        ("ready, waiting for a CPU", found.run_queue_nanos),
        ("blocked or asleep", found.off_cpu_nanos),
        ("unmounted, as a virtual thread", found.unmounted_nanos),
    )
    known = [(name, nanos) for name, nanos in parts if nanos is not None]
    worth = [(name, nanos) for name, nanos in known if nanos >= _LEAST_SHARE * duration]
    if worth:
        worth.sort(key=lambda each: -each[1])
        yield f"of {total}, " + ", ".join(f"{duration_text(nanos)} {name}" for name, nanos in worth)
    elif not known:
        yield f"of {total}, the time on a CPU is not known (docs/explain.md: unknown calls)"
    counted = (
        ("voluntary switch", found.voluntary_switches),
        ("involuntary switch", found.involuntary_switches),
        ("page fault", found.faults),
    )
    switches = [_plural(count, noun) for noun, count in counted if count]
    if switches:
        yield ", ".join(switches)
    if found.syscalls:
        spent = f" in {duration_text(found.syscall_nanos)}" if found.syscall_nanos is not None else ""
        top = ""
        if found.top_syscall is not None and found.top_syscall_nanos is not None:
            top = f", most of it {printable(found.top_syscall)} ({duration_text(found.top_syscall_nanos)})"
        yield f"{plural(found.syscalls, 'system call')}{spent}{top}"


def _plural(count: int, noun: str) -> str:
    return plural(count, noun) if not noun.endswith("switch") or count == 1 else f"{count:,} {noun}es"


def call_json(event: Event) -> dict[str, Any]:
    """Returns a call as the value of JSON, with the keys of docs/event-format.md where they exist."""
    found: dict[str, Any] = {
        "time": iso_time(event.time_unix_nanos),
        "pid": event.probe.pid,
        "tid": event.tid,
        "thread": event.thread,
        "probe": str(event.probe),
        "class": event.probe.class_name,
        "method": event.probe.method,
        "descriptor": event.probe.descriptor,
        "kind": event.probe.kind,
        "duration_ns": event.duration_nanos,
        "start_unix_nanos": event.start_unix_nanos,
    }
    if event.probe.kind == "throw":
        found["exception"] = exception_class(event)
        message = exception_message(event)
        if message is not Missing.UNKNOWN:
            found["message"] = json_value(message)
    found["values"] = {
        each.name: json_value(event.values.get(each.name))
        for each in event.probe.values
        if each.path or event.probe.kind != "throw"
    }
    if event.explanation is not None:
        known = {name: value for name, value in asdict(event.explanation).items() if value is not None}
        if "top_syscall" not in known:
            known.pop("top_syscall_nanos", None)
        found["explain"] = {name.replace("_nanos", "_ns"): value for name, value in known.items()}
    return found


def json_value(value: Value) -> object:
    """Returns a value as that of JSON."""
    if isinstance(value, Missing):
        return {"absent": "null" if value is Missing.ABSENT else value.value}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, ObjectText) else value

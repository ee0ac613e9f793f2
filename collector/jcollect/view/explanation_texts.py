"""Explanations of calls as text: members of a JSON line, and the end of a compact line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from jcollect.console import plural
from jcollect.printable import json_string, printable
from jcollect.sources.explanation import CPU, FAULTS, NAMED, PAUSES, SYSCALLS, UNMOUNTED, Explanation
from jcollect.view.formats import duration_text
from jprobe.v1 import collector_pb2

# The keys in JSON that are not those of the columns with "ns" for "nanos".
_KEYS: Final = {"top_pause": "pause"}
_PARTS: Final = (
    (collector_pb2.EXPLANATION_PART_CPU, CPU),
    (collector_pb2.EXPLANATION_PART_UNMOUNTED, UNMOUNTED),
    (collector_pb2.EXPLANATION_PART_FAULTS, FAULTS),
    (collector_pb2.EXPLANATION_PART_SYSCALLS, SYSCALLS),
    (collector_pb2.EXPLANATION_PART_PAUSES, PAUSES),
)


def explanation_values(explanation: Explanation, index: int) -> dict[str, int | str]:
    """Returns what is known of one call, by the keys of its JSON object: times in ns, and names."""
    known = int(explanation.known[index])
    found: dict[str, int | str] = {}
    for part, columns in _PARTS:
        if not known & part:
            continue
        for name in columns:
            column = explanation.columns.get(name)
            if column is None:
                continue
            number = int(column[index])
            key = _KEYS.get(name, name.replace("_nanos", "_ns"))
            if name not in NAMED:
                found[key] = number
            elif number:
                found[key] = explanation.names[number - 1]
    if "top_syscall" not in found:
        # The time is that of no system call.
        found.pop("top_syscall_ns", None)
    return found


def json_member(values: dict[str, int | str], quotes_64_bits: bool) -> str:
    """Returns `,"explain":{...}`; empty if nothing is known."""
    if not values:
        return ""
    members = (
        f'"{key}":' + (json_string(value) if isinstance(value, str) else _number(key, value, quotes_64_bits))
        for key, value in values.items()
    )
    return f',"explain":{{{",".join(members)}}}'


def _number(key: str, value: int, quotes_64_bits: bool) -> str:
    return f'"{value}"' if quotes_64_bits and key.endswith("_ns") else str(value)


def short_text(values: dict[str, int | str]) -> str:
    """Returns the parts of a call in words: "on CPU 3.1ms, run queue 12us, off CPU 40ms"; empty if nothing is
    known."""
    parts: list[str] = []

    def add(label: str, key: str, always: bool = False) -> None:
        nanos = values.get(key)
        if isinstance(nanos, int) and (nanos or always):
            parts.append(f"{label} {duration_text(nanos)}")

    add("on CPU", "on_cpu_ns", always=True)
    add("run queue", "run_queue_ns")
    add("off CPU", "off_cpu_ns")
    add("unmounted", "unmounted_ns")
    # A server or a recording may leave out any column.
    if pause := values.get("pause_ns"):
        name = f" ({printable(str(values['pause']))})" if "pause" in values else ""
        parts.append(f"JVM paused {duration_text(int(pause))}{name}")
    if faults := values.get("faults"):
        parts.append(plural(int(faults), "fault"))
    if calls := values.get("syscalls"):
        text = plural(int(calls), "system call")
        if "syscall_ns" in values:
            text += f" {duration_text(int(values['syscall_ns']))}"
        if "top_syscall" in values and "top_syscall_ns" in values:
            name = printable(str(values["top_syscall"]))
            text += f" ({name} {duration_text(int(values['top_syscall_ns']))})"
        parts.append(text)
    return ", ".join(parts)


def texts_of(
    explanation: Explanation, indices: Sequence[int], form: Callable[[dict[str, int | str]], str]
) -> list[str]:
    """Returns the text of each of these events."""
    return [form(explanation_values(explanation, index)) for index in indices]

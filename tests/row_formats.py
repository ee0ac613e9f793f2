"""Formats one row at a time: the simple way, which jcollect's formats are compared with."""

from __future__ import annotations

import math
import time
from functools import lru_cache

from jcollect.printable import json_text, printable
from jcollect.probes.probe import ENTRY, KIND_NAMES, MARK, THROW
from jcollect.probes.rendered import Rendered
from jcollect.view.formats import duration_text, location_text
from jcollect.view.shortening import name_in_event
from rows import Absent, Char, Decoded, Long, Reference, Row, Truncated, Unknown, Unreadable


@lru_cache(maxsize=64)
def _second(seconds: int, pattern: str) -> str:
    return time.strftime(pattern, time.gmtime(seconds))


def json_line(row: Row, quotes_64_bits: bool = False) -> str:
    """Returns an event as a JSON object with keys in a fixed order, without a line feed."""
    number = str if quotes_64_bits else int

    def value_of(value: Decoded) -> object:
        return number(value) if isinstance(value, Long) else _json_value(value)

    probe = row.probe
    seconds, nanos = divmod(row.time_unix_nanos, 1_000_000_000)
    line: dict[str, object] = {
        "time": f"{_second(seconds, '%Y-%m-%dT%H:%M:%S')}.{nanos:09d}Z",
        "pid": probe.pid,
        "tid": row.tid,
        "thread": number(row.thread),
        "probe": f"{probe.provider}:{probe.name}",
        "class": probe.class_name,
        "method": probe.method,
        "descriptor": probe.method_descriptor,
        "kind": KIND_NAMES[probe.kind],
    }
    if probe.kind in (ENTRY, MARK):
        line["args"] = [value_of(value) for value in row.values]
        if cut := [i for i, value in enumerate(row.values) if isinstance(value, Truncated)]:
            line["args_cut"] = cut
    else:
        line["duration_ns"] = number(row.duration_nanos)
        line["start_unix_nanos"] = number(row.start_unix_nanos)
        key = "exception" if probe.kind == THROW else "value"
        if row.values:
            line[key] = value_of(row.values[0])
            if isinstance(row.values[0], Truncated):
                line[f"{key}_cut"] = True
        elif probe.method_descriptor.endswith(")V"):
            line[key] = None
    if row.captures:
        line["captures"] = {name: value_of(value) for name, value in row.captures.items()}
        if named := [name for name, value in row.captures.items() if isinstance(value, Truncated)]:
            line["captures_cut"] = named
    line["seq"] = number(row.seq)
    return json_text(line)


def _json_value(value: Decoded) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return _float_name(value)
    if isinstance(value, Char):
        return value.text
    if isinstance(value, Reference | Rendered):
        return str(value)
    if isinstance(value, Unreadable):
        return {"unreadable": True}
    if isinstance(value, Truncated):
        return value.text
    if isinstance(value, Unknown):
        return {"unknown": True}
    if isinstance(value, Absent):
        return {"absent": value.reason}
    return value


def _float_name(value: float) -> str:
    """Returns the name of a non-finite number, as Java prints it."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def compact_line(row: Row, columns: int | None = None) -> str:
    """Returns an event for people, escaped for a terminal: UTC time of day, thread, method, kind and
    values."""
    probe = row.probe
    seconds, nanos = divmod(row.time_unix_nanos, 1_000_000_000)
    head = (
        f"{_second(seconds, '%H:%M:%S')}.{nanos // 1000:06d} {row.tid}/{row.thread} "
        f"{name_in_event(printable(location_text(probe)), columns)}"
    )
    if probe.kind != MARK:
        head += f" {KIND_NAMES[probe.kind]}"
    captured = [f"{printable(name)}={_compact_value(value)}" for name, value in row.captures.items()]
    if probe.kind in (ENTRY, MARK):
        return f"{head} ({', '.join([*map(_compact_value, row.values), *captured])})"
    parts = [head, duration_text(row.duration_nanos)]
    if row.values:
        value = row.values[0]
        is_class = probe.kind == THROW and isinstance(value, str)
        parts.append(printable(str(value)) if is_class else _compact_value(value))
    return " ".join(parts + captured)


def _compact_value(value: Decoded) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _float_name(value)
    if isinstance(value, Unreadable):
        return "<unreadable>"
    if isinstance(value, Unknown):
        return "<unknown>"
    if isinstance(value, Char):
        return f"'{printable(value.text)}'"
    if isinstance(value, Truncated):
        return f"{_quoted(value.text)}…"
    if isinstance(value, Absent):
        return f"<absent: {value.reason}>"
    if isinstance(value, str):
        return _quoted(value)
    return printable(str(value))


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\{each}" if each in '"\\' else printable(each) for each in text) + '"'

"""Formats rows as lines of text: stable JSON, or a compact form for people."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from functools import lru_cache, partial

from jcollect.printable import json_text, printable
from jcollect.probes.description import Described
from jcollect.probes.probe import ENTRY, KIND_NAMES, MARK, THROW
from jcollect.view.rendered import Char, Rendered
from jcollect.view.rows import Absent, Decoded, Reference, Row, Truncated, Unreadable
from jcollect.view.shortening import name_in_event


@lru_cache(maxsize=64)
def _second(seconds: int, pattern: str) -> str:
    return time.strftime(pattern, time.gmtime(seconds))


def json_line(row: Row) -> str:
    """Returns an event as a JSON object with keys in a fixed order, without a line feed."""
    probe = row.probe
    seconds, nanos = divmod(row.time_unix_nanos, 1_000_000_000)
    line: dict[str, object] = {
        "time": f"{_second(seconds, '%Y-%m-%dT%H:%M:%S')}.{nanos:09d}Z",
        "pid": probe.pid,
        "tid": row.tid,
        "thread": row.thread,
        "probe": f"{probe.provider}:{probe.name}",
        "class": probe.class_name,
        "method": probe.method,
        "descriptor": probe.descriptor,
        "kind": kind_name(probe),
    }
    if probe.kind in (ENTRY, MARK):
        line["args"] = [_json_value(value) for value in row.values]
    else:
        line["duration_ns"] = row.duration_nanos
        key = "exception" if probe.kind == THROW else "value"
        if row.values:
            line[key] = _json_value(row.values[0])
        elif probe.descriptor.endswith(")V"):
            line[key] = None
    if row.captures:
        line["captures"] = {name: _json_value(value) for name, value in row.captures.items()}
    line["seq"] = row.seq
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
        return {"text": value.text, "cut": True}
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
    values. On a terminal with that many `columns`, the method's name is shortened."""
    probe = row.probe
    seconds, nanos = divmod(row.time_unix_nanos, 1_000_000_000)
    head = (
        f"{_second(seconds, '%H:%M:%S')}.{nanos // 1000:06d} {row.tid}/{row.thread} "
        f"{name_in_event(printable(location_text(probe)), columns)}"
    )
    if probe.kind != MARK:
        head += f" {kind_name(probe)}"
    captured = [f"{printable(name)}={_compact_value(value)}" for name, value in row.captures.items()]
    if probe.kind in (ENTRY, MARK):
        return f"{head} ({', '.join([*map(_compact_value, row.values), *captured])})"
    parts = [head, duration_text(row.duration_nanos)]
    if row.values:
        value = row.values[0]
        is_class = probe.kind == THROW and isinstance(value, str)
        parts.append(printable(str(value)) if is_class else _compact_value(value))
    return " ".join(parts + captured)


def location_text(probe: Described) -> str:
    """Returns the method of a probe, as in "com.acme.Orders#place"; for a mark its own name,
    "orders:placed"."""
    if probe.kind == MARK:
        return f"{probe.provider}:{probe.name}"
    return f"{probe.class_name}#{probe.method}"


def set_text(probe: Described) -> str:
    """Returns a text such as " (set 2)" for a probe that is not in the first set of its method: a method has
    one set of probes for each way in which it is selected."""
    found = re.search(r"__set(\d+)__[a-z]+$", probe.name[-32:]) if probe.kind != MARK else None
    return f" (set {found[1]})" if found else ""


def kind_name(probe: Described) -> str:
    """Returns the name of a probe's kind, as in "entry". A later collector may have more kinds."""
    return KIND_NAMES.get(probe.kind, "unknown")


def _compact_value(value: Decoded) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _float_name(value)
    if isinstance(value, Unreadable):
        return "<unreadable>"
    if isinstance(value, Char):
        return f"'{printable(value.text)}'"
    if isinstance(value, Truncated):
        return f'"{printable(value.text)}"…'
    if isinstance(value, Absent):
        return f"<absent: {value.reason}>"
    if isinstance(value, str):
        return f'"{printable(value)}"'
    return printable(str(value))


def duration_text(nanos: float) -> str:
    """Returns a duration with three digits, as in "340ns", "1.83us", "12.5ms", "2.04s"."""
    for unit, size in (("ns", 1), ("us", 1_000), ("ms", 1_000_000)):
        if nanos < 999.5 * size:
            value = nanos / size
            digits = 0 if size == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f}{unit}"
    return f"{nanos / 1e9:.2f}s"


def gate_text(least_duration_nanos: int, every: int, per_second: int) -> str:
    """Returns a gate in selector syntax: "duration > 20ms every 100 at most 20/s"; empty if it passes all
    calls."""
    parts = []
    if least_duration_nanos:
        # "> 20ms" is stored as at least 20,000,001 ns.
        least, above = exact_duration(least_duration_nanos), exact_duration(least_duration_nanos - 1)
        parts.append(f"duration > {above}" if len(above) < len(least) else f"duration >= {least}")
    if every > 1:
        parts.append(f"every {every}")
    if per_second:
        parts.append(f"at most {per_second}/s")
    return " ".join(parts)


def exact_duration(nanos: int) -> str:
    """Returns a duration as a whole number in the largest possible unit, as in "1500us"."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if nanos and nanos % size == 0:
            return f"{nanos // size}{unit}"
    return f"{nanos}ns"


FORMATS: dict[str, Callable[[Row], str]] = {"json": json_line, "compact": compact_line}


def line_format(name: str, columns: int | None) -> Callable[[Row], str]:
    """Returns a format, for a terminal with that many columns; None for no terminal."""
    return partial(compact_line, columns=columns) if name == "compact" and columns else FORMATS[name]

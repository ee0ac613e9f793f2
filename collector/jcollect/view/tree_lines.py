"""Shows trees of calls: as lines for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jcollect.printable import printable
from jcollect.view.call import Call
from jcollect.view.formats import duration_text
from jcollect.view.shortening import LEAST_NAME, shortened_name

# Levels that are shown, at most: JSON cannot be nested deeper for most readers.
MOST_DEPTH = 200
# Lines of one tree.
MOST_LINES = 2000
# More calls than this of one method, one after the other and without calls in them, share a line.
_FEW = 3
_WIDTH = 8
HEAD = f"{'TIME':>{_WIDTH}} {'SELF':>{_WIDTH}}   CALL"


@dataclass(frozen=True)
class Shown:
    """The part of each tree that is shown: calls of at least `least_nanos`, in `depth` levels."""

    least_nanos: int = 0
    depth: int = MOST_DEPTH


class Line(NamedTuple):
    """A line of a tree. `is_slowest` if it belongs to the path of the slowest calls."""

    text: str
    is_slowest: bool


class _Run(NamedTuple):
    """Calls of one line: one call, or several leaves of one method."""

    calls: Sequence[Call]

    @property
    def nanos(self) -> int:
        return sum(call.duration for call in self.calls)


def slowest_path(root: Call) -> set[int]:
    """Returns the ids of the calls of the slowest path: each time the longest of the calls that one made, as
    long as it takes more than half of that one's time."""
    path = {id(root)}
    call = root
    while call.children:
        longest = max(call.children, key=lambda each: each.duration)
        if 2 * longest.duration <= call.duration:
            break
        path.add(id(longest))
        call = longest
    return path


def tree_lines(
    root: Call, names: Sequence[str], shown: Shown, marks_slowest: bool, width: int | None = None
) -> list[Line]:
    """Returns a line for each call: its duration, its self time, and its method. With `marks_slowest` an
    asterisk marks the slowest path, for output without colors. Names are shortened to a `width`, if given,
    of the line."""
    slowest = slowest_path(root)
    lines: list[Line] = []
    stack: list[tuple[int, _Run | str]] = [(0, _Run((root,)))]
    while stack:
        depth, item = stack.pop()
        indent = "  " * depth
        if len(lines) >= MOST_LINES:
            lines.append(Line(f"{'':>{2 * _WIDTH + 1}}   … the tree has more calls; raise --min", False))
            break
        if isinstance(item, str):
            lines.append(Line(f"{'':>{2 * _WIDTH + 1}}   {indent}… {item}", False))
            continue
        call = item.calls[0]
        is_slowest = id(call) in slowest
        mark = "* " if is_slowest and marks_slowest else "  "
        lines.append(
            Line(f"{_times(item)} {mark}{indent}{_name(item, names, name_width(width, depth))}", is_slowest)
        )
        stack.extend((depth + 1, each) for each in reversed(list(_inner(call, depth, slowest, shown, names))))
    return lines


def _times(run: _Run) -> str:
    call = run.calls[0]
    own = None if call.is_partial else sum(each.self_nanos or 0 for each in run.calls)
    self_time = "-" if own is None else duration_text(own)
    return f"{duration_text(run.nanos):>{_WIDTH}} {self_time:>{_WIDTH}}"


def name_width(width: int | None, depth: int, before: int = 2 * _WIDTH + 4) -> int | None:
    """Returns the columns that a line of this width has for a name at a depth; None for any number."""
    return None if width is None else max(width - before - 2 * depth, LEAST_NAME)


def _name(run: _Run, names: Sequence[str], most: int | None) -> str:
    call = run.calls[0]
    name = printable(names[call.method])
    if most is not None:
        name = shortened_name(name, most)
    if len(run.calls) > 1:
        return f"{name}  x {len(run.calls):,}"
    if call.is_running:
        name += "  still running"
    if call.threw:
        name += f"  threw {call.text}" if call.text else "  threw"
    elif call.text:
        name += f"  {call.text}"
    return name


def _inner(
    call: Call, depth: int, slowest: set[int], shown: Shown, names: Sequence[str]
) -> Iterator[_Run | str]:
    """Yields what is shown below a call."""
    if call.lost:
        yield f"{_events(call.lost)} lost while it ran, of any thread: calls may be missing"
    if call.printed:
        yield f"{_calls(call.printed)} in it printed before: its begin was not seen"
    hidden = 0
    if depth + 1 >= shown.depth:
        hidden = sum(not each.is_lost for each in call.children)
    else:
        yield from _runs(call.children, slowest, shown, names)
        hidden = sum(not each.is_lost and each.duration < shown.least_nanos for each in call.children)
    if hidden:
        yield f"{_calls(hidden)} not shown"
    if call.left_out:
        yield f"{_calls(call.left_out)} counted only"


def _runs(
    children: Sequence[Call], slowest: set[int], shown: Shown, names: Sequence[str]
) -> Iterator[_Run | str]:
    """Yields children, those of one method together if they are many and made no calls; and those whose ends
    were lost."""
    run: list[Call] = []
    lost: list[Call] = []
    for call in children:
        if call.is_lost:
            yield from _split(run)
            run = []
            lost.append(call)
            continue
        if lost:
            yield _lost_text(lost, names)
            lost = []
        if call.duration < shown.least_nanos:
            continue
        is_plain = not (call.children or call.left_out or call.text or call.threw or id(call) in slowest)
        if run and not (is_plain and run[-1].method == call.method):
            yield from _split(run)
            run = []
        if is_plain:
            run.append(call)
        else:
            yield _Run((call,))
    yield from _split(run)
    if lost:
        yield _lost_text(lost, names)


def _split(run: Sequence[Call]) -> Iterator[_Run]:
    if len(run) > _FEW:
        yield _Run(tuple(run))
    else:
        yield from (_Run((call,)) for call in run)


def _lost_text(lost: Sequence[Call], names: Sequence[str]) -> str:
    methods = list(dict.fromkeys(printable(names[call.method]) for call in lost))
    more = f" and {len(methods) - 1:,} more" if len(methods) > 1 else ""
    return f"{_events(len(lost))} lost: the end of {methods[0]}{more}"


def _events(count: int) -> str:
    return f"{count:,} event" + ("" if count == 1 else "s")


def _calls(count: int) -> str:
    return f"{count:,} call" + ("" if count == 1 else "s")


def tree_json(root: Call, names: Sequence[str], shown: Shown) -> dict[str, Any]:
    """Returns a tree as the value of JSON."""
    found = _json_of(root, names)
    found |= {"pid": root.pid, "tid": root.tid, "thread": root.thread, "lost": root.lost}
    slowest = slowest_path(root)
    stack: list[tuple[int, Call, dict[str, Any]]] = [(1, root, found)]
    while stack:
        depth, call, value = stack.pop()
        value["is_slowest"] = id(call) in slowest
        calls: list[dict[str, Any]] = []
        hidden = 0
        for each in call.children:
            if depth >= shown.depth or (each.duration < shown.least_nanos and not each.is_lost):
                hidden += 1
                continue
            inner = _json_of(each, names)
            calls.append(inner)
            if not each.is_lost:
                stack.append((depth + 1, each, inner))
        value["calls"] = calls
        if hidden:
            value["hidden"] = hidden
    return found


def _json_of(call: Call, names: Sequence[str]) -> dict[str, Any]:
    value: dict[str, Any] = {"method": names[call.method], "start_unix_nanos": call.start}
    if call.is_lost:
        return value | {"end_lost": True}
    value |= {"duration_ns": call.duration, "self_ns": call.self_nanos}
    if call.threw:
        value |= {"threw": call.text or True}
    elif call.text:
        value |= {"text": call.text}
    for name in ("is_running", "printed", "left_out"):
        if getattr(call, name):
            value[name] = getattr(call, name)
    return value

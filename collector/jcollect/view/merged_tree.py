"""Sums up the calls of many trees by path: the methods that were running, the outermost first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jcollect.printable import printable
from jcollect.view.call import Call
from jcollect.view.formats import duration_text
from jcollect.view.shortening import shortened_name
from jcollect.view.tree_lines import Line, Shown, name_width

# Distinct paths. Beyond, calls count in their caller's path only.
MOST_PATHS = 1 << 17
_WIDTH = 8


class Path:
    """The calls of one path. Times in ns."""

    __slots__ = ("calls", "children", "errors", "method", "self_nanos", "total")

    def __init__(self, method: int) -> None:
        self.method = method
        self.children: dict[int, Path] = {}
        self.calls = self.errors = self.total = self.self_nanos = 0

    def in_order(self) -> list[Path]:
        """The paths below, that with the most time first."""
        return sorted(self.children.values(), key=lambda each: -each.total)


class MergedTree:
    """The paths of all trees that were added. `left_out` counts calls of paths beyond the limit, and `lost`
    those whose ends were lost."""

    def __init__(self) -> None:
        self._root = Path(-1)
        self._paths = 0
        self.left_out = self.lost = 0

    def add(self, root: Call) -> None:
        stack: list[tuple[Call, Path]] = [(root, self._root)]
        while stack:
            call, parent = stack.pop()
            if call.is_lost:
                self.lost += 1
                continue
            self.left_out += call.left_out
            path = parent.children.get(call.method)
            if path is None:
                if self._paths >= MOST_PATHS:
                    self.left_out += 1
                    continue
                path = parent.children[call.method] = Path(call.method)
                self._paths += 1
            path.calls += 1
            path.errors += call.threw
            path.total += call.duration
            path.self_nanos += call.self_nanos or 0
            stack.extend((each, path) for each in call.children)

    def _walk(self, shown: Shown) -> Iterator[tuple[int, Path]]:
        stack = [(0, each) for each in reversed(self._root.in_order())]
        while stack:
            depth, path = stack.pop()
            if path.total < shown.least_nanos:
                continue
            yield depth, path
            if depth + 1 < shown.depth:
                stack.extend((depth + 1, each) for each in reversed(path.in_order()))

    def lines(self, names: Sequence[str], shown: Shown, width: int | None = None) -> Iterator[Line]:
        """Yields a head, and a line for each path. The most expensive path of each root is the slowest one.
        Names are shortened to a `width`, if given, of the line."""
        yield Line(f"{'CALLS':>9} {'TOTAL':>{_WIDTH}} {'SELF':>{_WIDTH}} ERRORS  METHOD", False)
        slowest: set[int] = set()
        for depth, path in self._walk(shown):
            if depth == 0 or id(path) in slowest:
                slowest.add(id(path))
                first = next(iter(path.in_order()), None)
                if first is not None and 2 * first.total > path.total:
                    slowest.add(id(first))
            numbers = (
                f"{path.calls:>9,} {duration_text(path.total):>{_WIDTH}} "
                f"{duration_text(path.self_nanos):>{_WIDTH}} {path.errors:>6,}"
            )
            name = printable(names[path.method])
            most = name_width(width, depth, len(numbers) + 2)
            shortened = name if most is None else shortened_name(name, most)
            yield Line(f"{numbers}  {'  ' * depth}{shortened}", id(path) in slowest)

    def json(self, names: Sequence[str], shown: Shown) -> Iterator[dict[str, Any]]:
        """Yields a value for each path."""
        path_names: list[str] = []
        for depth, path in self._walk(shown):
            path_names[depth:] = [names[path.method]]
            yield {
                "path": list(path_names),
                "calls": path.calls,
                "errors": path.errors,
                "total_ns": path.total,
                "self_ns": path.self_nanos,
            }

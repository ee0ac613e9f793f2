"""Prints trees of calls, for `jcollect tree`."""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from jcollect.cli.event_picker import EventPicker
from jcollect.cli.event_text import outcome_text
from jcollect.cli.report import Lines
from jcollect.console import Stdout, plural, status, terminal_columns, warn
from jcollect.hub.items import EncodedEvents, Events, Item, Loss, Schema, Stacks, Throttling
from jcollect.printable import printable
from jcollect.probes.probe import THROW, TIMED_KINDS
from jcollect.sources.columns import EACH, Columns, Flags, with_room
from jcollect.view.call import Call
from jcollect.view.call_tree import HOLD_NS, CallTrees
from jcollect.view.later import LaterParts
from jcollect.view.losses import Losses
from jcollect.view.merged_tree import MergedTree
from jcollect.view.tree_lines import HEAD, Line, Shown, tree_json, tree_lines

_BOLD, _PLAIN = "\x1b[1;31m", "\x1b[0m"
# Without events for this long, in s, calls count as roots by the clock of this machine.
_QUIET_SECONDS = 1.0


@dataclass(frozen=True)
class TreeOptions:
    """Selects what `jcollect tree` prints: trees that take at least `least_nanos`, as they come, or the
    `slowest` at the end, or all as one if `merge`; those of one Java thread, unless `thread` is None."""

    least_nanos: int
    depth: int
    slowest: int | None
    merge: bool
    thread: int | None
    values: bool
    as_json: bool


class TreeReport:
    """A report (cli/report.py)."""

    def __init__(self, out: Stdout, options: TreeOptions, is_live: bool) -> None:
        """`is_live` is false for a recording, which is read to its end at once."""
        self._lines = Lines(out)
        self._options = options
        self._shown = Shown(options.least_nanos, options.depth)
        self._is_live = is_live
        self._has_colors = os.isatty(out.descriptor) and not os.environ.get("NO_COLOR")
        self._width = terminal_columns(out.descriptor)
        self._trees = CallTrees(self._complete, HOLD_NS if is_live else None)
        self._merged = MergedTree()
        self._picker = EventPicker()
        self._later = LaterParts()
        self._losses = Losses()
        # (duration, number, tree) of the slowest ones; numbers make them comparable.
        self._slowest: list[tuple[int, int, Call]] = []
        self._numbers = count()
        self._is_throw = np.zeros(0, np.bool_)
        self._is_timed = np.zeros(0, np.bool_)
        self._received = time.monotonic()
        self._printed = self._completed = self._events = 0

    done = False

    @property
    def lost(self) -> int:
        return self._losses.total

    def drawing(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def take(self, item: Item) -> None:
        if isinstance(item, Schema):
            self._describe(item)
        elif isinstance(item, Loss):
            for line in self._later.in_loss(item.stage):
                warn(line)
            events, probes = self._losses.take(item)
            if events:
                self._trees.take_loss(events, probes)
        elif isinstance(item, Throttling):
            # Their methods are unwoven: calls that run have no end.
            if item.began:
                self._trees.take_loss(0, item.began)
        elif isinstance(item, Stacks):
            self._picker.take_stacks(item)
        elif isinstance(item, (Events, EncodedEvents)):
            self._received = time.monotonic()
            self._add(item)

    def _describe(self, schema: Schema) -> None:
        for line in self._later.in_probes(schema.probes):
            warn(line)
        self._trees.describe(schema.probes)
        self._picker.describe(schema.probes)
        size = max((probe.id + 1 for probe in schema.probes), default=0)
        self._is_throw = with_room(self._is_throw, size)
        self._is_timed = with_room(self._is_timed, size)
        for probe in schema.probes:
            self._is_throw[probe.id] = probe.kind == THROW
            self._is_timed[probe.id] = probe.kind in TIMED_KINDS

    def _add(self, item: Events | EncodedEvents) -> None:
        columns = item.columns
        wanted = None if self._options.thread is None else columns.thread == np.uint64(self._options.thread)
        with_text = (self._is_timed if self._options.values else self._is_throw)[columns.probe]
        if wanted is not None:
            with_text &= wanted
        texts: list[str] | None = None
        if with_text.any():
            texts = [""] * len(columns)
            found = self._picker.pick(item, with_text)
            for index, event in zip(np.flatnonzero(with_text).tolist(), found, strict=True):
                texts[index] = outcome_text(event, self._options.values)
        if wanted is not None:
            if texts is not None:
                texts = [text for text, each in zip(texts, wanted.tolist(), strict=True) if each]
            columns = _without_values(columns, wanted)
        self._events += len(columns)
        self._trees.take(columns, texts)

    def refresh(self) -> None:
        if self._is_live and time.monotonic() - self._received > _QUIET_SECONDS:
            self._trees.flush(time.time_ns())

    def _complete(self, root: Call) -> None:
        self._completed += 1
        options = self._options
        if options.merge:
            self._merged.add(root)
        elif root.duration < options.least_nanos:
            return
        elif options.slowest is not None:
            entry = (root.duration, next(self._numbers), root)
            if len(self._slowest) < options.slowest:
                heapq.heappush(self._slowest, entry)
            else:
                heapq.heappushpop(self._slowest, entry)
        else:
            self._print(root)

    def _print(self, root: Call) -> None:
        names = self._trees.names
        if self._options.as_json:
            self._lines.write_json([tree_json(root, names, self._shown)])
            self._printed += 1
            return
        thread = f"thread {root.thread}" if root.thread else f"kernel thread {root.tid}"
        process = f" of PID {root.pid}" if len(self._trees.pids) > 1 else ""
        head = f"{_time_of_day(root.start)} {thread}{process}"
        # The columns are named once.
        gap = [""] if self._printed else [HEAD, ""]
        lines = tree_lines(root, names, self._shown, not self._has_colors, self._width)
        self._lines.write([*gap, head, *self._colored(lines)])
        self._printed += 1

    def _colored(self, lines: Sequence[Line]) -> Iterator[str]:
        for line in lines:
            is_bold = line.is_slowest and self._has_colors
            yield f"{_BOLD}{line.text}{_PLAIN}" if is_bold else line.text

    def finish(self) -> None:
        self._trees.finish()
        for _, _, root in sorted(self._slowest, key=lambda each: (-each[0], each[1])):
            self._print(root)
        if self._options.merge:
            names = self._trees.names
            if self._options.as_json:
                self._lines.write_json(self._merged.json(names, self._shown))
            else:
                self._lines.write(self._colored(list(self._merged.lines(names, self._shown, self._width))))
        left_out = self._trees.left_out + self._merged.left_out
        more = f", {plural(left_out, 'call')} left out" if left_out else ""
        if self._trees.unended:
            more += f", {plural(self._trees.unended, 'call')} whose end was lost in no tree"
        status(
            f"{plural(self._completed, 'tree')} of {plural(self._events, 'event')}, {self.lost:,} lost{more}"
        )


def _without_values(columns: Columns, wanted: Flags) -> Columns:
    """Returns some events without their values."""
    columns = columns.with_starts()
    each = {name: getattr(columns, name)[wanted] for name in EACH}
    return replace(columns, **each, values=columns.values[:0], text=b"", explanation=None)


def _time_of_day(nanos: int) -> str:
    """Returns a time in ns since 1970 as the UTC time of day, to the microsecond."""
    seconds, rest = divmod(nanos, 1_000_000_000)
    return printable(f"{time.strftime('%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06d}")

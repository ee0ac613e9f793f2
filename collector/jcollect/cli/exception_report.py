"""Prints exceptions by class and message, for `jcollect exceptions`: a table that is refreshed, and the
totals."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from jcollect.cli.call_block import time_text
from jcollect.cli.event_picker import EventPicker
from jcollect.cli.event_text import shortened, stack_of
from jcollect.cli.exception_groups import ExceptionGroups, Group
from jcollect.cli.report import Lines
from jcollect.console import Stdout, lines_above, plural, status, warn
from jcollect.hub.items import EncodedEvents, Events, Item, Loss, Schema, Stacks
from jcollect.printable import printable
from jcollect.probes.probe import THROW
from jcollect.sources.columns import with_room
from jcollect.view.later import LaterParts
from jcollect.view.losses import Losses

_HEAD = f"{'COUNT':>9}  {'RATE/S':>8}  {'FIRST':<15}  {'LAST':<15}  EXCEPTION"
_LIVE_HEAD = f"{'COUNT':>9}  {'RATE/S':>8}  {'LAST':<15}  EXCEPTION"
_OTHER_LINES = 3
_MOST_MESSAGE = 300
_NAMED_METHODS = 4
# Frames of the sample of each kind; JSON has all.
_MOST_FRAMES = 8


@dataclass(frozen=True)
class ExceptionOptions:
    """Prints at most `rows` kinds. `interval` is the time between two tables, in s."""

    rows: int
    interval: float
    folds_digits: bool
    as_json: bool


class _Console(Console):
    """Raises BrokenPipeError when stdout is closed, instead of exiting."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class ExceptionReport:
    """A report (cli/report.py)."""

    def __init__(self, out: Stdout, options: ExceptionOptions, is_live: bool) -> None:
        """`is_live` is false for a recording, whose times are those of its events."""
        self._lines = Lines(out)
        self._options = options
        self._is_live = is_live
        self._picker = EventPicker()
        self._groups = ExceptionGroups(options.folds_digits)
        self._later = LaterParts()
        self._losses = Losses()
        self._is_throw = np.zeros(0, np.bool_)
        self._begun = self._shown = time.monotonic()
        # Times of the first and the last event, in ns since 1970.
        self._first = self._last = 0
        self._live: Live | None = None
        if is_live and not options.as_json and os.isatty(out.descriptor):
            console = _Console(highlight=False)
            self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    done = False

    @property
    def lost(self) -> int:
        return self._losses.total

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """While the table is redrawn, lines for stderr go above it."""
        if self._live is None:
            yield
            return
        live = self._live
        with live, lines_above(lambda line: live.console.print(Text(line), soft_wrap=True)):
            yield

    def take(self, item: Item) -> None:
        if isinstance(item, Schema):
            for line in self._later.in_probes(item.probes):
                warn(line)
            self._picker.describe(item.probes)
            size = max((probe.id + 1 for probe in item.probes), default=0)
            self._is_throw = with_room(self._is_throw, size)
            for probe in item.probes:
                self._is_throw[probe.id] = probe.kind == THROW
        elif isinstance(item, Loss):
            for line in self._later.in_loss(item.stage):
                warn(line)
            self._losses.take(item)
        elif isinstance(item, Stacks):
            self._picker.take_stacks(item)
        elif isinstance(item, (Events, EncodedEvents)):
            columns = item.columns
            if not len(columns):
                return
            self._first = self._first or int(columns.time_unix_nanos.min())
            self._last = max(self._last, int(columns.time_unix_nanos.max()))
            for event in self._picker.pick(item, self._is_throw[columns.probe]):
                self._groups.add(event)

    @property
    def _seconds(self) -> float:
        if self._is_live:
            return time.monotonic() - self._begun
        return (self._last - self._first) / 1e9

    def refresh(self) -> None:
        now = time.monotonic()
        if self._live is None or now - self._shown < self._options.interval:
            return
        self._shown = now
        rows = max(1, min(self._options.rows, self._live.console.height - _OTHER_LINES))
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(_LIVE_HEAD, style="bold")
        for group in self._groups.in_order()[:rows]:
            text.append(f"\n{self._live_line(group)}")
        text.append(f"\n{self._summary()}")
        self._live.update(text, refresh=True)

    def _line(self, group: Group) -> str:
        times = f"{time_text(group.first):<15}  {time_text(group.last):<15}"
        return f"{self._numbers(group)}  {times}  {_named(group.name, group)}"

    def _live_line(self, group: Group) -> str:
        """Returns a line that is as narrow as possible: without the package of the class."""
        name = group.name.rpartition(".")[2]
        return f"{self._numbers(group)}  {time_text(group.last):<15}  {_named(name, group)}"

    def _numbers(self, group: Group) -> str:
        seconds = self._seconds
        rate = f"{group.count / seconds:,.2f}" if seconds > 0 else "-"
        return f"{group.count:>9,}  {rate:>8}"

    def _summary(self) -> str:
        found = self._groups
        others = f", {found.others:,} of other kinds" if found.others else ""
        kinds = plural(len(found.in_order()), "kind")
        return f"{plural(found.count, 'exception')} of {kinds}{others}, {self.lost:,} lost"

    def finish(self) -> None:
        if self._options.as_json:
            self._lines.write_json(self._groups.json(self._seconds))
            status(self._summary())
            return
        groups = self._groups.in_order()
        lines = [_HEAD]
        for group in groups[: self._options.rows]:
            lines.append(self._line(group))
            lines.append(f"{'':>11}in {_methods(group.methods)}")
            if group.passed:
                lines.append(f"{'':>11}passed through {_methods(group.passed)}")
            frames = stack_of(group.sample)
            lines += (f"{'':>13}at {printable(frame)}" for frame in frames[:_MOST_FRAMES])
            if len(frames) > _MOST_FRAMES:
                lines.append(f"{'':>13}…")
        left = groups[self._options.rows :]
        if left:
            count = sum(group.count for group in left)
            lines.append(f"{count:>9,}  of {plural(len(left), 'more kind')}; show them with --rows")
        if self._groups.others:
            lines.append(f"{self._groups.others:>9,}  of other kinds, which are not told apart")
        self._lines.write(lines)
        status(self._summary())


def _named(name: str, group: Group) -> str:
    message = "" if group.message is None else f": {shortened(printable(group.message), _MOST_MESSAGE)}"
    return f"{printable(name) or 'an exception'}{message}"


def _methods(methods: dict[str, None]) -> str:
    names = list(map(printable, methods))
    more = f" and {len(names) - _NAMED_METHODS:,} more" if len(names) > _NAMED_METHODS else ""
    return ", ".join(names[:_NAMED_METHODS]) + more

"""Prints the slowest calls, for `jcollect slow`."""

from __future__ import annotations

import contextlib
import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np

from jcollect.cli.call_block import LIVE_FRAMES, MOST_FRAMES, block_lines, call_json
from jcollect.cli.event_picker import EventPicker
from jcollect.cli.report import Lines
from jcollect.console import Stdout, plural, status, warn
from jcollect.hub.items import EncodedEvents, Events, Item, Loss, Schema, Stacks
from jcollect.probes.probe import TIMED_KINDS
from jcollect.rpc.public.event import Event
from jcollect.sources.columns import Columns, Flags, with_room
from jcollect.view.later import LaterParts
from jcollect.view.losses import Losses


@dataclass(frozen=True)
class SlowOptions:
    """The `most` slowest calls; those of at least `over` ns, None for any. `live` is false if only the final
    list is printed."""

    most: int
    over: int | None
    live: bool
    as_json: bool


class SlowReport:
    """A report (cli/report.py)."""

    def __init__(self, out: Stdout, options: SlowOptions) -> None:
        self._lines = Lines(out)
        self._options = options
        self._picker = EventPicker()
        self._later = LaterParts()
        self._losses = Losses()
        self._is_timed = np.zeros(0, np.bool_)
        # (duration, number, call), the fastest first; numbers make them comparable.
        self._slowest: list[tuple[int, int, Event]] = []
        self._numbers = count()
        self._calls = self._over = 0

    done = False

    @property
    def lost(self) -> int:
        return self._losses.total

    def drawing(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def take(self, item: Item) -> None:
        if isinstance(item, Schema):
            for line in self._later.in_probes(item.probes):
                warn(line)
            self._picker.describe(item.probes)
            size = max((probe.id + 1 for probe in item.probes), default=0)
            self._is_timed = with_room(self._is_timed, size)
            for probe in item.probes:
                self._is_timed[probe.id] = probe.kind in TIMED_KINDS
        elif isinstance(item, Loss):
            for line in self._later.in_loss(item.stage):
                warn(line)
            self._losses.take(item)
        elif isinstance(item, Stacks):
            self._picker.take_stacks(item)
        elif isinstance(item, (Events, EncodedEvents)):
            self._add(item)

    def _add(self, item: Events | EncodedEvents) -> None:
        for event in self._picker.pick(item, self._wanted(item.columns)):
            entry = (event.duration_nanos, next(self._numbers), event)
            if len(self._slowest) < self._options.most:
                heapq.heappush(self._slowest, entry)
            elif entry[0] > self._slowest[0][0]:
                heapq.heapreplace(self._slowest, entry)
            elif self._options.over is None:
                continue
            if self._options.live:
                self._print(event)

    def _wanted(self, columns: Columns) -> Flags:
        """Returns which calls may be among the slowest ones, or take long enough."""
        timed = self._is_timed[columns.probe]
        self._calls += int(np.count_nonzero(timed))
        took = columns.duration_nanos
        if self._options.over is not None:
            wanted: Flags = timed & (took >= np.uint64(self._options.over))
            self._over += int(np.count_nonzero(wanted))
            return wanted
        if len(self._slowest) == self._options.most:
            timed &= took > np.uint64(self._slowest[0][0])
        found = np.flatnonzero(timed)
        if len(found) > self._options.most:
            # The others cannot stay.
            order = np.argpartition(took[found], -self._options.most)[: -self._options.most]
            timed[found[order]] = False
        return timed

    def refresh(self) -> None:
        """Does nothing: calls are printed when they come."""

    def _print(self, event: Event, rank: int = 0) -> None:
        if self._options.as_json:
            self._lines.write_json([({"rank": rank} if rank else {}) | call_json(event)])
        else:
            shown = MOST_FRAMES if rank else LIVE_FRAMES
            self._lines.write([*block_lines(event, f"{rank}. " if rank else "", shown), ""])

    def finish(self) -> None:
        slowest = sorted(self._slowest, key=lambda each: (-each[0], each[1]))
        if slowest and not self._options.as_json:
            noun = "slowest call" if len(slowest) == 1 else "slowest calls"
            self._lines.write([f"the {len(slowest):,} {noun} of {self._calls:,}:", ""])
        for rank, (_, _, event) in enumerate(slowest, 1):
            self._print(event, rank)
        over = "" if self._options.over is None else f", {self._over:,} of them slow"
        status(f"{plural(self._calls, 'call')}{over}, {self.lost:,} lost")

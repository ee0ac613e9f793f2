"""The terminal: prints events as lines, for `attach -o` and for `observe`."""

from __future__ import annotations

from typing import Protocol

from jcollect.hub.items import (
    EncodedEvents,
    Events,
    Item,
    Loss,
    LossStage,
    Schema,
    Skipped,
    Stacks,
    Throttling,
)
from jcollect.sources.columns import Columns
from jcollect.view.lines import LineFormat, LineFormatter
from jcollect.view.throttling import ThrottledProbes

_STAGE_NAMES: dict[int, str] = {
    LossStage.KERNEL_RING: "kernel ring",
    LossStage.DIRECT_RING: "direct rings",
    LossStage.COLLECTOR: "collector",
    LossStage.SUBSCRIBER: "subscriber",
    LossStage.HISTORY: "history",
}

# A malformed stream may have any number of them.
_MOST_STAGES = 100


def stage_name(loss: Loss) -> str:
    """Returns the name of the stage at which events were lost. A later collector may have more stages."""
    others = f"stage {loss.stage}" if 0 <= loss.stage < _MOST_STAGES else "unknown stage"
    return _STAGE_NAMES.get(loss.stage, others)


class Out(Protocol):
    """The output for lines."""

    def write(self, content: bytes, /) -> object:
        """Writes all of the content. Raises OSError."""


class TerminalSink:
    """Writes events to `out`, and records losses and throttling.

    `has_begun` is true once probes have been described. `lost` is the number of lost events by stage name, as
    last reported. `notices` are the sentences about the last change of throttling.
    """

    def __init__(self, line_format: LineFormat, out: Out, max_events: int | None = None) -> None:
        self._out = out
        self._left = max_events
        self._formatter = LineFormatter(line_format)
        self.has_begun = False
        self.events = 0
        self.lost: dict[str, int] = {}
        self.throttled = ThrottledProbes()
        self.notices: list[str] = []
        self.skipped = Skipped()

    @property
    def done(self) -> bool:
        """True if max_events have been printed."""
        return self._left == 0

    def take(self, item: Item) -> None:
        """Prints events, and records other items. Raises OSError if the output cannot be written, and
        MalformedStreamError."""
        if isinstance(item, Schema):
            self.has_begun = True
            self._formatter.add(item.probes)
            self.throttled.describe(item.probes)
        elif isinstance(item, Stacks):
            self._formatter.add_stacks(item.stacks)
        elif isinstance(item, Loss):
            self.lost[stage_name(item)] = item.events
        elif isinstance(item, Throttling):
            self.notices = self.throttled.take(item)
        elif isinstance(item, Skipped):
            self.skipped = item
        elif isinstance(item, (Events, EncodedEvents)):
            self._print(item.columns)

    def _print(self, columns: Columns) -> None:
        for lines in self._formatter.lines(columns):
            printed = lines if self._left is None else lines[: self._left]
            if printed:
                self._out.write("\n".join([*printed, ""]).encode())
                self.events += len(printed)
            if self._left is not None:
                self._left -= len(printed)
                if not self._left:
                    break


def lost_text(lost: dict[str, int]) -> str:
    """Returns a text such as "4 lost (kernel ring 4)" or "0 lost"."""
    total = sum(lost.values())
    stages = ", ".join(f"{stage} {events:,}" for stage, events in lost.items() if events)
    return f"{total:,} lost ({stages})" if total else "0 lost"


def skipped_text(skipped: Skipped) -> str:
    """Returns a text such as "1,234 left out (where 1,000, sampling 234)"."""
    parts = (("where", skipped.filtered), ("sampling", skipped.sampled), ("rate", skipped.over_rate))
    reasons = ", ".join(f"{reason} {events:,}" for reason, events in parts if events)
    return f"{skipped.total:,} left out ({reasons})"

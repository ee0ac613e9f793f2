"""Prints a stream of messages as lines: the same for `attach -o` and `observe`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from jcollect.hub.incoming import Incoming
from jcollect.sources.columns import Columns
from jcollect.view.formats import FORMATS
from jcollect.view.rows import RowDecoder
from jcollect.view.throttling import Throttled
from jprobe.v1 import collector_pb2

_STAGE_NAMES = {
    collector_pb2.LOSS_STAGE_KERNEL_RING: "kernel ring",
    collector_pb2.LOSS_STAGE_COLLECTOR: "collector",
    collector_pb2.LOSS_STAGE_SUBSCRIBER: "subscriber",
}

# Characters of lines that are written at once.
_PIECE = 1 << 20


def stage_name(loss: collector_pb2.Loss) -> str:
    """Where a notice's events were lost, in words; a later collector may know more stages."""
    return _STAGE_NAMES.get(loss.stage, "unknown stage")


class Out(Protocol):
    """Where lines go."""

    def write(self, content: bytes, /) -> object:
        """All of it, at once. Raises OSError."""


class Printer:
    """Writes events to `out`, and remembers what was lost.

    `has_begun`: probes have been described. `lost` has the number of events by the name of the stage, as last
    told; `throttled` is for the notices of that to be shown to.
    """

    def __init__(self, output: str, out: Out, max_events: int | None = None) -> None:
        """`output` is "json" or "compact"."""
        self._format = FORMATS[output]
        self._out = out
        self._left = max_events
        self._incoming = Incoming()
        self._decoder = RowDecoder()
        self.has_begun = False
        self.events = 0
        self.lost: dict[str, int] = {}
        self.throttled = Throttled()

    @property
    def done(self) -> bool:
        """Whether max_events have been printed."""
        return self._left == 0

    def take(self, message: bytes) -> collector_pb2.SubscribeResponse | None:
        """Prints a batch; returns any other message. Raises OSError as writing to the output does, and
        SenselessStreamError."""
        body = self._incoming.decode(message)
        if isinstance(body, Columns):
            self._print(body)
            return None
        if body.HasField("schema"):
            self.has_begun = True
            self._decoder.add(body.schema.probes)
            self.throttled.describe(body.schema.probes)
        elif body.HasField("loss"):
            self.lost[stage_name(body.loss)] = body.loss.events
        return body

    def _print(self, columns: Columns) -> None:
        lines: list[str] = []
        size = 0
        for row in self._decoder.rows(columns):
            if self._left == 0:
                break
            if self._left is not None:
                self._left -= 1
            lines.append(self._format(row))
            size += len(lines[-1])
            if size > _PIECE:
                self._write(lines)
                lines, size = [], 0
        if lines:
            self._write(lines)

    def _write(self, lines: list[str]) -> None:
        self._out.write("\n".join([*lines, ""]).encode())
        self.events += len(lines)


def lost_text(lost: dict[str, int]) -> str:
    """As in "4 lost (kernel ring 4)", or "0 lost"."""
    total = sum(lost.values())
    stages = ", ".join(f"{stage} {events:,}" for stage, events in lost.items() if events)
    return f"{total:,} lost ({stages})" if total else "0 lost"


def drain(printer: Printer, messages: Iterable[bytes]) -> None:
    """Prints until the stream ends or the printer is done."""
    for message in messages:
        printer.take(message)
        if printer.done:
            return

"""One connection of a stream: its messages, decoded and checked (rpc/incoming.py), and the sums of its
notices."""

from __future__ import annotations

from jcollect.hub.items import Events, History, Loss, Schema, Skipped, Stacks, Throttling
from jcollect.hub.stream_options import MASKABLE
from jcollect.rpc.incoming import Incoming
from jcollect.rpc.public.event_decoder import DescribedProbe
from jcollect.rpc.public.items import Cursor
from jcollect.sources.columns import Columns
from jcollect.sources.stacks import StackTable
from jprobe.v1 import collector_pb2

_STAGES: dict[int, str] = {
    number: name.removeprefix("LOSS_STAGE_").lower().replace("_", "-")
    for name, number in collector_pb2.LossStage.items()
}
# Stages at which published events are lost, which cursors count.
_AFTER_PUBLISHING = (_STAGES[collector_pb2.LOSS_STAGE_SUBSCRIBER], _STAGES[collector_pb2.LOSS_STAGE_HISTORY])


class Received:
    """One connection. `history` is what the collector says of the begin of the stream, until it is reset
    to None."""

    def __init__(self, columns: frozenset[str] = MASKABLE) -> None:
        """`columns` are those that were asked for."""
        self._incoming = Incoming(columns)
        self._probes: dict[int, DescribedProbe] = {}
        self._stacks = StackTable()
        self._is_shared = False
        self._first: Cursor | None = None
        self._events = 0
        self.lost: dict[str, int] = {}
        self.skipped = Skipped()
        self.throttled = 0
        # Becomes true with the end of the first schema.
        self.is_described = False
        self.history: History | None = None

    def take(self, message: bytes) -> Columns | None:
        """Returns the events of a message, if it has any. Raises MalformedStreamError."""
        is_beginning = not self.is_described
        item = self._incoming.decode(message)
        columns = item.columns if isinstance(item, Events) else None
        if columns is not None:
            self._events += len(columns.probe)
        elif isinstance(item, Schema):
            self._describe(item)
        elif isinstance(item, Stacks):
            self._stacks.add(item.stacks)
        elif isinstance(item, Loss):
            self.lost[_STAGES.get(item.stage, f"stage-{item.stage}")] = item.events
        elif isinstance(item, Throttling):
            self.throttled = item.throttled
        elif isinstance(item, Skipped):
            self.skipped = item
        elif isinstance(item, History):
            self.history = item
        if is_beginning or isinstance(item, History):
            self._first = self.cursor
        return columns

    def _describe(self, schema: Schema) -> None:
        if self._is_shared:
            self._probes = dict(self._probes)
            self._is_shared = False
        for probe in schema.probes:
            assert isinstance(probe, collector_pb2.Probe)
            self._probes[probe.id] = DescribedProbe(probe, self._stacks)
        if not schema.has_more:
            self.is_described = True

    @property
    def cursor(self) -> Cursor | None:
        """The position after the last message; None if the collector sends none."""
        found = self._incoming.cursor
        return None if found is None else Cursor(*found)

    @property
    def lost_events(self) -> int:
        return sum(self.lost.values())

    def probes(self) -> dict[int, DescribedProbe]:
        """Returns the probes by ID. The dict does not change later."""
        self._is_shared = True
        return self._probes

    def unreported(self) -> int:
        """Returns how many events the collector had reached, and has neither sent nor reported as lost or
        skipped."""
        cursor, first = self.cursor, self._first
        if cursor is None or first is None or cursor.epoch != first.epoch:
            return 0
        reached = cursor.events - first.events
        lost = sum(self.lost.get(stage, 0) for stage in _AFTER_PUBLISHING)
        return max(0, reached - self._events - lost - self.skipped.total)

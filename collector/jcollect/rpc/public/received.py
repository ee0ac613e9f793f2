"""The messages of one connection of a stream: decoded, checked (rpc/incoming.py), and its notices summed
up."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from jcollect.errors import MalformedStreamError
from jcollect.hub.items import Events, Loss, Schema, Throttling
from jcollect.probes.protobuf_fields import FieldsError, skip_field, varint
from jcollect.rpc.elements import parse
from jcollect.rpc.incoming import Incoming
from jcollect.rpc.public.event_decoder import DescribedProbe
from jcollect.rpc.public.items import Cursor, Skipped
from jcollect.sources.columns import Columns
from jprobe.v1 import collector_pb2

_CURSOR = collector_pb2.SubscribeResponse.CURSOR_FIELD_NUMBER
_BATCH = collector_pb2.SubscribeResponse.BATCH_FIELD_NUMBER
_LENGTH_DELIMITED = 2
_MOST_CURSOR_BYTES = 64
_STAGES: dict[int, str] = {
    number: name.removeprefix("LOSS_STAGE_").lower().replace("_", "-")
    for name, number in collector_pb2.LossStage.items()
}
# Stages at which published events are lost, which cursors count.
_AFTER_PUBLISHING = (_STAGES[collector_pb2.LOSS_STAGE_SUBSCRIBER], _STAGES[collector_pb2.LOSS_STAGE_HISTORY])


class Received:
    """One connection. `cursor` is the position after the last message; None if the collector keeps no
    history."""

    def __init__(self, columns: Iterable[str] = ()) -> None:
        """`columns` are those of `Columns` that the stream does not ask for."""
        self._incoming = Incoming((*columns, "values", "text"))
        self._probes: dict[int, DescribedProbe] = {}
        self._is_shared = False
        self._first: Cursor | None = None
        self.cursor: Cursor | None = None
        self.events = 0
        self.lost: dict[str, int] = {}
        self.skipped = Skipped()
        self.throttled = 0
        # Becomes true with the end of the first schema.
        self.is_described = False
        self.history: collector_pb2.History | None = None

    def take(self, message: bytes) -> Columns | None:
        """Returns the events of a message, if it has any. Raises MalformedStreamError."""
        body, cursor = _split(message)
        if cursor is not None:
            self.cursor = cursor
        begins = not self.is_described
        columns = self._body(body)
        if columns is not None:
            self.events += len(columns.probe)
        if begins or self.history is not None:
            self._first = cursor
        return columns

    def _body(self, body: bytes) -> Columns | None:
        item = self._incoming.decode(body)
        if isinstance(item, Events):
            return item.columns
        if isinstance(item, Schema):
            self._describe(item)
        elif isinstance(item, Loss):
            self.lost[_STAGES.get(item.stage, f"stage-{item.stage}")] = item.events
        elif isinstance(item, Throttling):
            self.throttled = item.throttled
        elif item is None and body[:1] != bytes([_BATCH << 3 | _LENGTH_DELIMITED]):
            self._notice(body)
        return None

    def _notice(self, body: bytes) -> None:
        """Takes what the commands do not know."""
        try:
            response = parse(collector_pb2.SubscribeResponse, body)
        except DecodeError as error:
            raise MalformedStreamError(f"a message cannot be decoded: {error}") from None
        if response.HasField("history"):
            self.history = response.history
        elif response.HasField("skipped"):
            skipped = response.skipped
            self.skipped = Skipped(skipped.filtered, skipped.sampled, skipped.over_rate)

    def _describe(self, schema: Schema) -> None:
        if self._is_shared:
            self._probes = dict(self._probes)
            self._is_shared = False
        for probe in schema.probes:
            assert isinstance(probe, collector_pb2.Probe)
            self._probes[probe.id] = DescribedProbe(probe)
        if not schema.has_more:
            self.is_described = True

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
        if self.cursor is None or self._first is None or self.cursor.epoch != self._first.epoch:
            return 0
        reached = self.cursor.events - self._first.events
        lost = sum(self.lost.get(stage, 0) for stage in _AFTER_PUBLISHING)
        return max(0, reached - self.events - lost - self.skipped.total)


def _split(message: bytes) -> tuple[bytes, Cursor | None]:
    """Returns a message without its cursor, and the cursor. A batch without it is decoded without a copy."""
    try:
        at = 0
        while at < len(message):
            tag, after = varint(message, at)
            end = skip_field(message, at)
            if tag == _CURSOR << 3 | _LENGTH_DELIMITED:
                size, begin = varint(message, after)
                if size > _MOST_CURSOR_BYTES or end > len(message):
                    break
                cursor = collector_pb2.Cursor.FromString(message[begin:end])
                return message[:at] + message[end:], Cursor.of(cursor)
            at = end
    except (FieldsError, IndexError, DecodeError):
        pass  # The decoder of the rest reports it.
    return message, None

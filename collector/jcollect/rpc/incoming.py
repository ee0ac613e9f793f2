"""Decodes the stream of an untrusted server, and checks batches against the schema.

Readers can then rely on three properties. All columns of a batch have the same length, belong to described
probes, and have the described number of values. Probe IDs are small enough for arrays. Memory is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError

from jcollect.errors import MalformedStreamError
from jcollect.hub.cursor import Cursor
from jcollect.hub.items import Events, History, Item, Loss, Position, Schema, Skipped, Stacks, Throttling
from jcollect.hub.stream_options import MASKABLE
from jcollect.hub.wire import columns_of, decode_batch, decode_cursor
from jcollect.limits import MAX_COLLECTOR_PROBES
from jcollect.rpc.elements import parse
from jcollect.sources.columns import Columns, with_room
from jcollect.sources.explanation import MOST_NAME_LENGTH, NAMED, Explanation
from jcollect.sources.stacks import MOST_FRAME_LENGTH, MOST_FRAMES, StackTrace
from jprobe.v1 import collector_pb2

# Maximum bytes of the descriptions of all probes: ten times their size with usual names.
MOST_DESCRIBED_BYTES = 512 << 20
# Maximum bytes of one description: four times the maximum that a collector accepts from a process. Each event
# is printed with it.
MOST_PROBE_BYTES = 1 << 20
# Eight times the largest batch of a collector (sources/bpf/record.py).
MOST_BATCH_BYTES = 8 << 20


class Incoming:
    """Decodes the messages of one subscription. `cursor` is the position after the last message; None if the
    collector sends none."""

    def __init__(self, columns: frozenset[str] = MASKABLE, may_lack_values: bool = False) -> None:
        """`columns` are those of MASKABLE that were asked for. With `may_lack_values`, batches without any
        value are accepted: a collector leaves them out for a client that may not read them."""
        self._may_lack_values = may_lack_values
        self.cursor: Cursor | None = None
        self._masked = MASKABLE - columns
        # All are indexed by probe ID.
        self._is_described = np.zeros(0, np.bool_)
        self._value_counts = np.zeros(0, np.int64)
        self._sizes: dict[int, int] = {}
        self._bytes = 0

    def decode(self, message: bytes) -> Item | None:
        """Returns the message as an item; None for a kind of a later version. Raises MalformedStreamError."""
        columns = decode_batch(message)
        if columns is not None:
            events = self._events(columns, message)
            self.cursor = decode_cursor(message) or self.cursor
            return events
        try:
            body = parse(collector_pb2.SubscribeResponse, message)
        except DecodeError as error:
            raise MalformedStreamError(f"a message cannot be decoded: {error}") from None
        item = self._item(body, message)
        if body.HasField("cursor"):
            self.cursor = Cursor(body.cursor.epoch, body.cursor.seq, body.cursor.events)
        return item

    def _item(self, body: collector_pb2.SubscribeResponse, message: bytes) -> Item | None:
        if body.HasField("batch"):
            return self._events(columns_of(body.batch), message)
        if body.HasField("schema"):
            self._describe(body.schema)
            return Schema(body.schema.probes, body.schema.has_more)
        if body.HasField("loss"):
            loss = body.loss
            return Loss(loss.stage, loss.events, {each.probe: each.events for each in loss.probes})
        if body.HasField("throttling"):
            _check_ids(body.throttling.began)
            _check_ids(body.throttling.ended)
            return Throttling(body.throttling.began, body.throttling.ended, body.throttling.throttled)
        if body.HasField("history"):
            history = body.history
            return History(history.begin_unix_nanos, history.missed, history.missed_is_bound)
        if body.HasField("skipped"):
            return Skipped(body.skipped.filtered, body.skipped.sampled, body.skipped.over_rate)
        if body.HasField("stacks"):
            return _stacks(body.stacks)
        if body.WhichOneof("body") is None and body.HasField("cursor"):
            return Position()
        return None

    def _events(self, columns: Columns, message: bytes) -> Events:
        if len(message) > MOST_BATCH_BYTES:
            raise MalformedStreamError(f"a batch has {len(message):,} bytes")
        self._check(columns)
        return Events(columns)

    def _describe(self, schema: collector_pb2.Schema) -> None:
        highest = max((probe.id for probe in schema.probes), default=0)
        _check_ids([highest])
        self._is_described = with_room(self._is_described, highest + 1)
        self._value_counts = with_room(self._value_counts, highest + 1)
        for probe in schema.probes:
            size = probe.ByteSize()
            if size > MOST_PROBE_BYTES:
                raise MalformedStreamError(f"the description of a probe has {size:,} bytes")
            self._bytes += size - self._sizes.get(probe.id, 0)
            self._sizes[probe.id] = size
            self._is_described[probe.id] = True
            self._value_counts[probe.id] = len(probe.values)
        if self._bytes > MOST_DESCRIBED_BYTES:
            raise MalformedStreamError(f"its descriptions have {self._bytes:,} bytes")

    def _check(self, columns: Columns) -> None:
        probes = columns.probe
        names = ("seq", "time_unix_nanos", "tid", "thread", "duration_nanos")
        lengths = {name: len(getattr(columns, name)) for name in names}
        # A collector may send a column that was not asked for: it never leaves out all of them.
        allowed = {name: {len(probes), 0 if name in self._masked else len(probes)} for name in names}
        # Collectors of earlier versions send no starts.
        has_starts = len(columns.start_unix_nanos) in (0, len(probes))
        if not has_starts or any(lengths[name] not in allowed[name] for name in names):
            raise MalformedStreamError("the columns of a batch have different lengths")
        if columns.explanation is not None:
            _check_explanation(columns.explanation, len(probes))
        if not len(probes):
            return
        highest = int(probes.max())
        if highest >= len(self._is_described) or not self._is_described[probes].all():
            raise MalformedStreamError("a batch has events of a probe that was not described")
        values = 0 if "values" in self._masked else int(self._value_counts[probes].sum())
        is_without = self._may_lack_values and not len(columns.values)
        if values != len(columns.values) and not is_without:
            raise MalformedStreamError("a batch has more or fewer values than its events")


def _stacks(sent: collector_pb2.StackTraces) -> Stacks:
    for stack in sent.stacks:
        if len(stack.frames) > MOST_FRAMES:
            raise MalformedStreamError(f"a stack has {len(stack.frames):,} frames")
        longest = max(map(len, stack.frames), default=0)
        if longest > MOST_FRAME_LENGTH:
            raise MalformedStreamError(f"a frame of a stack has {longest:,} characters")
    return Stacks(
        [StackTrace(each.pid, each.id, tuple(each.frames), each.is_truncated) for each in sent.stacks]
    )


def _check_explanation(explanation: Explanation, count: int) -> None:
    if any(len(column) != count for column in (explanation.known, *explanation.columns.values())):
        raise MalformedStreamError("the explanation of a batch has columns of different lengths")
    if any(len(name) > MOST_NAME_LENGTH for name in explanation.names):
        raise MalformedStreamError("the explanation of a batch has a name that is too long")
    for name in NAMED:
        column = explanation.columns.get(name)
        if column is not None and count and int(column.max()) > len(explanation.names):
            raise MalformedStreamError("the explanation of a batch refers to a name that it does not have")


def _check_ids(ids: Sequence[int]) -> None:
    if len(ids) > MAX_COLLECTOR_PROBES:
        raise MalformedStreamError(f"a notice has {len(ids):,} probes")
    highest = max(ids, default=0)
    if highest >= MAX_COLLECTOR_PROBES:
        raise MalformedStreamError(f"it has a probe with the ID {highest:,}")

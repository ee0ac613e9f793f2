"""The sink of a gRPC stream with the encoding Arrow: each batch of events is an Arrow IPC stream of its
own."""

from __future__ import annotations

from collections.abc import Iterator

from jcollect.hub.items import EncodedEvents, Events, Item, Schema, Stacks
from jcollect.hub.subscription import Subscription
from jcollect.hub.wire import encode_cursor
from jcollect.rpc.messages import MESSAGE_BYTES, stream_messages
from jcollect.sources.columns import Batch
from jcollect.view.arrow import EventTable, import_pyarrow
from jprobe.v1 import collector_pb2


class ArrowSink:
    """Encodes events as Arrow, and everything else as StreamSink does."""

    def __init__(self, subscription: Subscription) -> None:
        """Raises JcollectError without pyarrow."""
        self._subscription = subscription
        self._pyarrow = import_pyarrow("encode events as Arrow")
        self._table = EventTable()

    def take(self, item: Item) -> Iterator[bytes]:
        """Returns the messages for a subscriber, each of at most 1 MiB unless one event needs more."""
        if isinstance(item, EncodedEvents):
            yield from self._batches(item.batch)
            return
        if isinstance(item, Schema):
            self._table.describe(item.probes)
        if isinstance(item, Stacks):
            # The tables have the text.
            self._table.add_stacks(item.stacks)
            return
        assert not isinstance(item, Events)
        yield from stream_messages(item, self._subscription.cursor)

    def _batches(self, batch: Batch, is_last: bool = True) -> Iterator[bytes]:
        """Yields a batch in as many parts as needed. Only the last part moves the cursor."""
        ipc = self._ipc(batch)
        if len(ipc) > MESSAGE_BYTES and len(batch) > 1:
            first, second = batch.halves()
            yield from self._batches(first, False)
            yield from self._batches(second, is_last)
            return
        arrow = collector_pb2.ArrowBatch(ipc=ipc)
        message = collector_pb2.SubscribeResponse(arrow=arrow).SerializeToString()
        yield message + (encode_cursor(self._subscription.cursor) if is_last else b"")

    def _ipc(self, batch: Batch) -> bytes:
        rows = self._table.record_batch(batch.columns, is_alone=True)
        out = self._pyarrow.BufferOutputStream()
        with self._pyarrow.ipc.new_stream(out, rows.schema) as stream:
            stream.write_batch(rows)
        content: bytes = out.getvalue().to_pybytes()
        return content

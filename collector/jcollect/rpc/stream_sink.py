"""The sink of a gRPC stream: turns items into encoded messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jcollect.errors import JcollectError
from jcollect.hub.items import Item
from jcollect.hub.subscription import Subscription
from jcollect.rpc.messages import stream_messages
from jcollect.sinks.base import Sink
from jprobe.v1 import collector_pb2


class MissingEncodingError(Exception):
    """This collector cannot encode events as asked for."""


class StreamSink:
    """Encodes items that are not encoded yet, in the thread that serves the stream."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def take(self, item: Item) -> Iterator[bytes]:
        """Returns the messages for a subscriber, each of at most 1 MiB."""
        return stream_messages(item, self._subscription.cursor)


def sink_of(
    encoding: collector_pb2.Encoding,
) -> Callable[[Subscription], Sink[Iterator[bytes]]]:
    """Returns what makes the sink of an encoding. Raises MissingEncodingError."""
    if encoding != collector_pb2.ENCODING_ARROW_IPC:
        return StreamSink
    # Imports pyarrow only if a client asks for it.
    from jcollect.rpc.arrow_sink import ArrowSink
    from jcollect.view.arrow import import_pyarrow

    try:
        pyarrow = import_pyarrow("encode events as Arrow")
    except JcollectError as error:
        raise MissingEncodingError(error.message) from None
    # Arrow's own pools keep what each thread has freed, and there is a thread for each stream.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    return ArrowSink

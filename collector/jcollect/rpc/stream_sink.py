"""The sink of a gRPC stream: turns items into encoded messages."""

from __future__ import annotations

from collections.abc import Iterator

from jcollect.hub.items import Item
from jcollect.hub.subscription import Subscription
from jcollect.rpc.messages import stream_messages


class StreamSink:
    """Encodes items that are not encoded yet, in the thread that serves the stream."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def take(self, item: Item) -> Iterator[bytes]:
        """Returns the messages for a subscriber, each of at most 1 MiB."""
        return stream_messages(item, self._subscription.cursor)

"""Receives streams: of a subscription, and of encoded messages as a client does."""

from __future__ import annotations

from collections.abc import Iterable

from jcollect.hub.items import (
    EncodedEvents,
    Events,
    History,
    Item,
    Loss,
    Position,
    Schema,
    Skipped,
    Throttling,
)
from jcollect.hub.subscription import Subscription
from jcollect.rpc.incoming import Incoming
from jcollect.sinks.terminal import Out, TerminalSink
from jcollect.sources.columns import Columns
from jcollect.view.line_formats import line_format

Received = Schema | Columns | Loss | Throttling | History | Skipped | Position


def columns_or_item(item: Item) -> Received:
    return item.columns if isinstance(item, (Events, EncodedEvents)) else item


def received(subscription: Subscription) -> list[Received]:
    """Returns everything up to the end except positions, batches as columns."""
    return [columns_or_item(item) for item in subscription.items() if not isinstance(item, Position)]


def batches(items: Iterable[Received]) -> list[Columns]:
    return [item for item in items if isinstance(item, Columns)]


class EncodedPrinter:
    """Prints encoded messages."""

    def __init__(self, output: str, out: Out) -> None:
        self._incoming = Incoming()
        self.sink = TerminalSink(line_format(output), out)

    def take(self, message: bytes) -> None:
        """Decodes a message. Raises MalformedStreamError."""
        item = self._incoming.decode(message)
        if item is not None:
            self.sink.take(item)

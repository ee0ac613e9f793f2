"""The interface of a sink, which consumes a subscription: the terminal, a gRPC stream, a file or an
exporter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from jcollect.hub.items import Item
from jcollect.hub.subscription import Subscription

Taken_co = TypeVar("Taken_co", covariant=True)


class Sink(Protocol[Taken_co]):
    """Takes the items of one subscription, in order, in one thread."""

    def take(self, item: Item) -> Taken_co:
        """Consumes one item. Returns a value for the caller of `consume`; None for most sinks.

        An exception ends the subscription; the events of this item then count as lost.
        """


def consume(subscription: Subscription, sink: Sink[Taken_co]) -> Iterator[Taken_co]:
    """Passes each item to the sink, and yields the value that it returns.

    The events of an item count as delivered when the next item is requested. Raises as Subscription.items and
    the sink do.
    """
    for item in subscription.items():
        yield sink.take(item)

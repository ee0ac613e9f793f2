"""Asks an agent by its gateway for the direct lane of probes, until the connection ends: for a collector that
may not place uprobes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping

from jcollect.control.gateway import Gateway
from jcollect.errors import JcollectError

# Slots by the generation of their library.
Slots = Mapping[int, Collection[int]]


class DirectLease:
    """The probes of one process that are leased. The connection is opened for the first one, and closed after
    the last. For any thread."""

    def __init__(self, open_gateway: Callable[[], Gateway]) -> None:
        self._open_gateway = open_gateway
        self._gateway: Gateway | None = None
        self._lock = threading.Lock()
        self._events: dict[int, set[int]] = {}

    def add_events(self, generation: int, slots: Collection[int]) -> None:
        """Asks for the events of these slots, in addition to others. They are armed when it returns. Raises
        JcollectError."""
        with self._lock:
            before = self._events.get(generation, set())
            self._events[generation] = before | set(slots)
            try:
                self._send()
            except BaseException:
                self._events[generation] = before
                raise

    def remove_events(self, generation: int, slots: Collection[int]) -> None:
        """Asks for these events no more. Does nothing if the agent has shut down."""
        with self._lock:
            self._events[generation] = self._events.get(generation, set()) - set(slots)
            with contextlib.suppress(JcollectError):
                self._send()

    def _send(self) -> None:
        if any(self._events.values()):
            if self._gateway is None:
                self._gateway = self._open_gateway()
            self._gateway.direct(ranges_text(self._events), "")
        elif self._gateway is not None:
            gateway, self._gateway = self._gateway, None
            gateway.close()


def ranges_text(slots: Slots) -> str:
    """Returns the slots as the command `direct` takes them."""
    return ",".join(
        f"{generation}:{first}-{last}"
        for generation in sorted(slots)
        for first, last in _ranges(sorted(slots[generation]))
    )


def _ranges(numbers: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yields first and last number of each sequence without a gap; the numbers are ascending."""
    first = last = -1
    for number in numbers:
        if first >= 0 and number != last + 1:
            yield first, last
        if first < 0 or number != last + 1:
            first = number
        last = number
    if first >= 0:
        yield first, last

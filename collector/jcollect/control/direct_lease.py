"""Asks an agent by its gateway for the direct lane of probes, and for an overhead limit, until the connection
ends: for a collector that may not place uprobes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping

from jcollect.control.gateway import Gateway
from jcollect.errors import JcollectError
from jcollect.probes.direct_site import DirectSink

# Slots by the generation of their library.
Slots = Mapping[int, Collection[int]]


class DirectLease:
    """The requests to one process. The connection is opened for the first request, and closed after the
    last. For any thread."""

    def __init__(self, open_gateway: Callable[[], Gateway]) -> None:
        self._open_gateway = open_gateway
        self._gateway: Gateway | None = None
        self._lock = threading.Lock()
        self._slots: dict[DirectSink, dict[int, set[int]]] = {sink: {} for sink in DirectSink}
        self._percent: int | None = None

    def add(self, sink: DirectSink, generation: int, slots: Collection[int]) -> None:
        """Asks for a sink of these slots, in addition to others. They are armed when it returns. Raises
        JcollectError."""
        with self._lock:
            self._forget_earlier_agent()
            before = self._slots[sink].get(generation, set())
            self._slots[sink][generation] = before | set(slots)
            try:
                self._send_slots()
            except BaseException:
                self._slots[sink][generation] = before
                raise

    def remove(self, sink: DirectSink, generation: int, slots: Collection[int]) -> None:
        """Asks for this sink no more. Does nothing if the agent has shut down."""
        with self._lock:
            self._forget_earlier_agent()
            left = self._slots[sink].get(generation, set()) - set(slots)
            if generation in self._slots[sink]:
                self._slots[sink][generation] = left
                with contextlib.suppress(JcollectError):
                    self._send_slots()

    def request_overhead(self, percent: int) -> None:
        """Asks for a limit of the overhead, in percent of a core; 0 for none. Raises JcollectError."""
        with self._lock:
            self._forget_earlier_agent()
            self._opened().request_overhead(percent)
            self._percent = percent

    def withdraw_overhead(self) -> None:
        """Asks for the limit no more. Does nothing if the agent has shut down."""
        with self._lock:
            self._forget_earlier_agent()
            if self._percent is None:
                return
            self._percent = None
            with contextlib.suppress(JcollectError):
                if not self._close_if_unused() and self._gateway is not None:
                    self._gateway.withdraw_overhead()

    def _forget_earlier_agent(self) -> None:
        """Forgets what was leased from an agent that has shut down."""
        if self._gateway is not None and self._gateway.is_closed:
            self._gateway.close()
            self._gateway = None
            self._slots = {sink: {} for sink in DirectSink}
            self._percent = None

    def _send_slots(self) -> None:
        if not self._close_if_unused():
            texts = (ranges_text(self._slots[sink]) for sink in (DirectSink.EVENT, DirectSink.COUNT))
            self._opened().direct(*texts)

    def _opened(self) -> Gateway:
        if self._gateway is None:
            self._gateway = self._open_gateway()
        return self._gateway

    def _close_if_unused(self) -> bool:
        """Closes the connection, which ends the lease, if nothing is leased any more. Returns true if so."""
        if self._percent is not None or any(any(slots.values()) for slots in self._slots.values()):
            return False
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.close()
        return True


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

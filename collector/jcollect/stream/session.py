"""One attachment to one process, from compiled handlers to closed books."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from jcollect.attach.armed import wait_until_settled
from jcollect.attach.handlers import Handlers
from jcollect.attach.links import AUTO, Linker, Links
from jcollect.discovery.live import Gates, LiveProbe, read_live
from jcollect.discovery.probes import Probe
from jcollect.stream.accounts import Accounts, Totals
from jcollect.stream.clock import utc_offset_ns
from jcollect.stream.held_back import HeldBack
from jcollect.stream.hub import Hub, Subscription
from jcollect.stream.reader import Reader
from jcollect.stream.record import RecordDecoder
from jcollect.stream.ring import Ring
from jprobe.v1 import collector_pb2

# 32 MiB: half a million numeric events, about 0.4 s of a thread that does nothing but fire.
RING_PAGES = 8192


class Session:
    """The order is: construct, `start`, `attach`, `detach`, and `close` in any case.

    Subscribers may come as soon as there is a session, and are served to the end by `detach`.
    """

    def __init__(
        self,
        pid: int,
        probes: Sequence[Probe],
        on_end: Callable[[], None],
        max_events: int | None = None,
        ring_pages: int = RING_PAGES,
        way: str = AUTO,
    ) -> None:
        """Compiles and loads the handlers. `on_end` is called when `max_events` are reached.

        Raises JcollectError.
        """
        self.pid = pid
        self.probes = probes
        self._handlers = Handlers(len(probes), ring_pages)
        self._linker = Linker(self._handlers, way)
        self._links: Links | None = None
        self._ring = Ring(self._handlers.ring_fd, self._handlers.ring_bytes)
        self.accounts = Accounts(len(probes), self._handlers.hits, self._handlers.lost)
        self._held_back = HeldBack(Gates(probes), self.accounts)
        self.hub = Hub([LiveProbe(probe).message() for probe in probes], self.accounts)
        self._reader = Reader(
            self._ring,
            RecordDecoder(probes, utc_offset_ns()),
            self.hub,
            self.accounts,
            max_events,
            on_end,
        )
        self._reader_runs = False

    def start(self) -> None:
        """Begins to read the ring: events may come from the first link on."""
        self._reader_runs = True
        self._reader.start()

    def attach(self) -> None:
        """Links all probes. Raises JcollectError."""
        self._held_back.start()
        self._links = self._linker.link(self.probes)

    def wait_until_settled(self, seconds: float, go_on: Callable[[], bool]) -> dict[int, list[Probe]]:
        """See armed.py."""
        return wait_until_settled(self.probes, time.monotonic() + seconds, go_on)

    def detach(self) -> Totals:
        """Destroys the links, drains the ring, lets the subscribers finish; the books are final then."""
        if self._links is not None:
            self._links.close()
            self._links = None
        self._held_back.finish()
        if self._reader_runs:
            self._reader_runs = False
            self._reader.finish()
        totals = self.accounts.totals()
        self.hub.end()
        return totals

    def close(self) -> None:
        """Frees what the kernel holds for us. No subscriber may be left."""
        self._held_back.finish()
        if self._links is not None:
            self._links.close()
            self._links = None
        self._ring.close()
        self._handlers.close()

    def describe(self) -> list[collector_pb2.Probe]:
        """The probes in their state of this moment."""
        try:
            return [live.message() for live in read_live(self.probes)]
        except OSError:
            # The process is gone: nothing is armed in it.
            return [LiveProbe(probe).message() for probe in self.probes]

    def subscribe(self, globs: Sequence[str]) -> Subscription:
        """Raises NoSuchProbeError."""
        return self.hub.subscribe(globs, self.describe())

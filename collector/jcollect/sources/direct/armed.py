"""Probes that write their events to rings, until they are disarmed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jcollect.probes.direct_site import DirectSink, attach_point_of, slot_of
from jcollect.probes.sinks import Sinks
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.sources.base import Armed
from jcollect.sources.direct.traced import Traced

# Maximum time for an agent to notice that semaphores have fallen. One that is weaving takes longer.
_NOTICE_SECONDS = 3.0
_POLL_SECONDS = 0.005
# A call that had begun to write an event before is done by then, unless its thread gets no CPU.
_WRITE_SECONDS = 0.02


class ArmedInRings(Armed):
    """Sites of one library whose semaphores for events are up. See Armed."""

    def __init__(
        self, traced: Traced, library: StubLibrary, sites: Sequence[Site], semaphores: Armed
    ) -> None:
        """Takes over the semaphores."""
        self.point = attach_point_of(DirectSink.EVENT) or 0
        self.closing_seconds = semaphores.closing_seconds + _POLL_SECONDS + _WRITE_SECONDS
        self._traced = traced
        self._semaphores = semaphores
        self._sinks = Sinks(library, [slot_of(site, library) for site in sites])

    def disarm(self) -> None:
        self._semaphores.disarm()
        try:
            self._wait_until_off()
        finally:
            self._traced.end()

    def _wait_until_off(self) -> None:
        """Waits until the agent has noticed. A process that cannot be read, or is stopped, or exits, does not
        write any more, or not for now."""
        process = self._traced.process
        deadline = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < deadline:
            if process.has_exited or process.is_stopped():
                return
            try:
                if not self._sinks.are_events_on().any():
                    break
            except OSError:
                return
            time.sleep(_POLL_SECONDS)
        time.sleep(_WRITE_SECONDS)

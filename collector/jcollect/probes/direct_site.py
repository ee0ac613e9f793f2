"""Attach points that raise a probe's direct semaphores: the probe is wanted through shared memory, and not by
a trap (layout/direct.toml).

The kernel increments the semaphore of an instruction of the stub that is never executed, for as long as a
uprobe is there.
"""

from __future__ import annotations

import enum
import platform

from jcollect.layout.stub_library import (
    DIRECT_SEMAPHORES_COUNT,
    DIRECT_SEMAPHORES_EVENT,
    DIRECT_SEMAPHORES_SIZE,
    SLOT_BYTES,
    STUB_AARCH64_COUNT,
    STUB_AARCH64_EVENT,
    STUB_X86_64_COUNT,
    STUB_X86_64_EVENT,
)
from jcollect.probes.probe import Probe
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary


class DirectSink(enum.Enum):
    """A way to record the calls of a probe without a trap: EVENT writes each to a ring, COUNT adds its
    duration to a histogram."""

    EVENT = "event"
    COUNT = "count"


_INSTRUCTIONS = {
    "x86_64": {DirectSink.EVENT: STUB_X86_64_EVENT, DirectSink.COUNT: STUB_X86_64_COUNT},
    "aarch64": {DirectSink.EVENT: STUB_AARCH64_EVENT, DirectSink.COUNT: STUB_AARCH64_COUNT},
}
_SEMAPHORES = {DirectSink.EVENT: DIRECT_SEMAPHORES_EVENT, DirectSink.COUNT: DIRECT_SEMAPHORES_COUNT}


def direct_site(probe: Probe, sink: DirectSink) -> Site | None:
    """Returns the site whose semaphore asks for this sink; None for a probe that has none, because it is in
    no stub library or no agent made it."""
    return None if probe.slot is None else direct_site_of(probe.site, sink)


def direct_site_of(site: Site, sink: DirectSink) -> Site | None:
    """Does what `direct_site` does, for the site of a probe."""
    library, offset = site.binary, attach_point_of(sink)
    if not isinstance(library, StubLibrary) or not library.is_agents or offset is None:
        return None
    semaphores = library.image.direct.address + DIRECT_SEMAPHORES_SIZE * slot_of(site, library)
    # The instruction is no attach point for events, so not a stub's.
    return site._replace(
        location=site.location + offset, semaphore=semaphores + _SEMAPHORES[sink], is_stub=False
    )


def sink_of(site: Site, library: StubLibrary) -> DirectSink | None:
    """Returns the sink that the semaphore of a site of the library asks for; None if it asks for events by a
    trap."""
    offset = (site.location - library.image.text.address) % SLOT_BYTES
    return next((sink for sink in DirectSink if attach_point_of(sink) == offset), None)


def attach_point_of(sink: DirectSink) -> int | None:
    """Returns the offset of the instruction from a stub's start, in bytes; None if the stubs of this machine
    have none."""
    instructions = _INSTRUCTIONS.get(platform.machine())
    return None if instructions is None else instructions[sink]


def slot_of(site: Site, library: StubLibrary) -> int:
    """Returns the number of a site's slot."""
    return (site.location - library.image.text.address) // SLOT_BYTES

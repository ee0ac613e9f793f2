"""How a collector tells an agent that it wants the events of probes in shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jcollect.errors import JcollectError
from jcollect.probes.direct_site import DirectSink, direct_site_of
from jcollect.probes.site import Site
from jcollect.sources.base import Armed, Source


class Activator(Protocol):
    """Makes the agent write events of probes to its rings."""

    def activate(self, sites: Sequence[Site]) -> Armed:
        """Asks for the events of the probes at these sites of one binary until `disarm`. Raises
        JcollectError."""


class KernelActivator:
    """Asks by the direct semaphores, which the kernel raises, and lowers if this process is killed."""

    def __init__(self, source: Source) -> None:
        """The source places the uprobes, at instructions that are never executed."""
        self._source = source

    def activate(self, sites: Sequence[Site]) -> Armed:
        found = [direct for site in sites if (direct := direct_site_of(site, DirectSink.EVENT)) is not None]
        if len(found) < len(sites):
            raise JcollectError("only methods that an agent has selected have direct semaphores")
        return self._source.raise_semaphores(found)

"""A process that `jcollect attach` may attach to, before it has joined the session."""

from __future__ import annotations

import contextlib

from jcollect.control.lease import Lease
from jcollect.errors import JcollectError
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.probe import Wanted
from jcollect.probes.scan import Scan
from jcollect.shortened import shortened


class Candidate:
    """A process that was opened and scanned. `close` ends its leases and closes it."""

    def __init__(
        self,
        scan: Scan,
        name: str,
        wanted: Wanted,
        lease: contextlib.ExitStack | None = None,
        selection: Lease | None = None,
    ) -> None:
        """Takes over the scanned process. `name` is its main class or command. `lease` lasts for as long as
        the process is attached to, and `selection` with it.

        Raises JcollectError if the process has exited.
        """
        self.process = scan.process
        self.scan = scan
        self.name = shortened(name, MAX_SHOWN_NAME)
        self.wanted = wanted
        self.selection = selection
        self._lease = lease or contextlib.ExitStack()
        if self.process.has_exited:
            self.close()
            raise JcollectError(f"PID {self.process.pid} has exited")

    @property
    def has_exited(self) -> bool:
        return self.process.has_exited

    def close(self) -> None:
        """Ends its leases. A second call does nothing."""
        lease, self._lease = self._lease, contextlib.ExitStack()
        lease.close()
        self.process.close()

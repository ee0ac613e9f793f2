"""A process that `jcollect attach` may attach to, before it has joined the session."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from jcollect.control.lease import Lease
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.globs import matcher
from jcollect.probes.probe import Probe, Wanted, is_mark
from jcollect.probes.scan import Scan
from jcollect.probes.scan_messages import unmatched
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
        globs: Sequence[str] = (),
        marks: Sequence[Probe] = (),
    ) -> None:
        """Takes over the scanned process. `name` is its main class or command. `lease` lasts for as long as
        the process is attached to, and `selection` with it. `globs` are those of --probe. `marks` are
        USDT probes that are wanted whatever the globs say.

        Raises JcollectError if the process has exited.
        """
        self.process = scan.process
        self.scan = scan
        self.name = shortened(name, MAX_SHOWN_NAME)
        self.marks = marks
        self.wanted = (lambda probe: is_mark(probe) or wanted(probe)) if marks else wanted
        self.selection = selection
        self._globs = globs
        self.matches = matcher(globs)
        self._lease = lease or contextlib.ExitStack()
        if self.process.has_exited:
            self.close()
            raise self.process.exited()

    @property
    def has_exited(self) -> bool:
        return self.process.has_exited

    def unmatched(self, scan: Scan) -> str:
        """Returns a sentence if a scan of it has selected probes, and --probe matches none of them; empty
        otherwise."""
        if self.selection is None or not self._globs:
            return ""
        selected = list(filter(self.selection.selected.has, scan.every))
        if not selected or any(map(self.wanted, selected)):
            return ""
        return unmatched(self._globs, selected, "selected ", "")

    def close(self) -> None:
        """Ends its leases. A second call does nothing."""
        lease, self._lease = self._lease, contextlib.ExitStack()
        lease.close()
        self.process.close()

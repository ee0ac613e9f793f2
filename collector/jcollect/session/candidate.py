"""A process that `jcollect attach` is to attach to, before it has joined the session."""

from __future__ import annotations

import contextlib
import os

from jcollect.errors import JcollectError, NoFilesError, lacks_files
from jcollect.limits import MAX_TOLD_NAME
from jcollect.probes.probe import Wanted
from jcollect.probes.process import TracedProcess
from jcollect.procfs.owner import owner_of
from jcollect.stop_request import is_readable
from jcollect.told import told


class Candidate:
    """A process to attach to: looked at, and held by a descriptor so that no other process can take its
    place. `close` releases it."""

    def __init__(
        self, process: TracedProcess, name: str, wanted: Wanted, lease: contextlib.ExitStack | None = None
    ) -> None:
        """`name` is its main class or command. `lease` lasts for as long as it is attached to.

        Raises JcollectError if the process has exited.
        """
        self.pid = process.pid
        self.process = process
        self.name = told(name, MAX_TOLD_NAME)
        self.owner = owner_of(process.pid)
        self.wanted = wanted
        self._lease = lease or contextlib.ExitStack()
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except OSError as error:
            self._lease.close()
            if lacks_files(error):
                raise NoFilesError(f"hold PID {process.pid}") from None
            raise JcollectError(f"PID {process.pid} has exited") from None

    @property
    def has_exited(self) -> bool:
        return self._descriptor < 0 or is_readable(self._descriptor)

    def close(self) -> None:
        """Gives back its leases. A second call does nothing."""
        lease, self._lease = self._lease, contextlib.ExitStack()
        lease.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

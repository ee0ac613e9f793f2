"""The selections of clients through a collector in one process, and the connection that leases last for."""

from __future__ import annotations

import contextlib
import threading

from jcollect.control.gateway import Gateway
from jcollect.control.selected import Selected, charged_to
from jcollect.errors import JcollectError
from jcollect.probes.probe import Probe
from jcollect.procfs.process import Process
from jprobe.v1 import control_pb2

# A selection keeps the names of its methods, and each probe is compared with all of them.
MOST_SELECTIONS = 64


class Selections:
    """Of one process. Its commands are for one thread at a time; `has` and `close` are for any."""

    def __init__(self, process: Process) -> None:
        """Takes over the process."""
        self.process = process
        self._lock = threading.Lock()
        self._leases: Gateway | None = None
        self._leased: set[str] = set()
        self._selected: tuple[Selected, ...] = ()
        self._charged: dict[Selected, contextlib.ExitStack] = {}
        self._is_closed = False

    def has(self, probe: Probe) -> bool:
        """Returns true if a client has selected the method of a probe."""
        return any(selected.has(probe) for selected in self._selected)

    def make_room(self, gateway: Gateway) -> None:
        """Raises JcollectError if too many selections are in force. Others may have unselected some."""
        if len(self._selected) >= MOST_SELECTIONS:
            in_force = _hashes_of(gateway.status())
            with self._lock:
                self._keep(tuple(each for each in self._selected if each.is_in_force(in_force)))
        if len(self._selected) >= MOST_SELECTIONS:
            raise JcollectError(
                f"clients have made {MOST_SELECTIONS} selections in PID {self.process.pid}, which is the "
                "limit; unselect some first"
            )

    @property
    def gateway(self) -> Gateway | None:
        """The connection that leases last for, if there is one."""
        if self._leases is not None and self._leases.is_closed:
            self._leases.close()
            self._leases, self._leased = None, set()
        return self._leases

    def add(self, reply: control_pb2.ControlReply, lease: Gateway | None) -> None:
        """Adds what a select command has selected. Takes over the connection that its lease lasts for. Raises
        JcollectError if it selects too many methods."""
        selected = Selected(reply)
        with self._lock:
            if self._is_closed:
                if lease is not None:
                    lease.close()
                raise JcollectError(f"PID {self.process.pid} is not traced any more")
            if lease is not None:
                self._leases = lease
                self._leased |= set(reply.given)
            charged = contextlib.ExitStack()
            charged.enter_context(charged_to(self.process, selected))
            in_force = _hashes_of(reply)
            self._keep(
                tuple(
                    each
                    for each in self._selected
                    if each.is_in_force(in_force) and not selected.replaces(each, in_force)
                )
            )
            self._charged[selected] = charged
            self._selected = (*self._selected, selected)

    def remove(self, reply: control_pb2.ControlReply) -> None:
        """Adapts to the selections that an unselect command has left."""
        with self._lock:
            in_force = _hashes_of(reply)
            self._keep(tuple(each for each in self._selected if each.is_in_force(in_force)))
            leased = {each.selector for each in reply.selections if each.leased}
            self._leased &= leased
            if self._leases is not None and not self._leased:
                # An agent that was loaded for them shuts down once nobody is connected.
                self._leases.close()
                self._leases = None

    def _keep(self, kept: tuple[Selected, ...]) -> None:
        """Frees the other selections. The lock must be held."""
        self._selected = kept
        for each in self._charged.keys() - set(kept):
            self._charged.pop(each).close()

    def close(self) -> None:
        """Ends the leases."""
        with self._lock:
            self._is_closed = True
            leases, self._leases = self._leases, None
            self._keep(())
        if leases is not None:
            leases.disconnect()
            leases.close()
        self.process.close()


def _hashes_of(reply: control_pb2.ControlReply) -> set[int]:
    """Returns the selectors in force, as Selected keeps them."""
    return {hash(each.selector) for each in reply.selections}

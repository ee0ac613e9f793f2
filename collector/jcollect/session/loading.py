"""Loads candidates, each in a thread, until the command ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from jcollect.control.cancel import Cancellation
from jcollect.crew import Crew, Errand
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jcollect.session.candidate import Candidate
from jcollect.stop_request import is_readable

_LOADS = 8
# Slow ones run in addition to them, so that processes that do not answer do not delay those that do, even if
# all belong to one user.
_SLOW_LOADS = 16
_CLOSES = 16


class _Load(NamedTuple):
    process: Process
    name: str
    errand: Errand
    cancellation: Cancellation


class Loading:
    """The candidates that are being loaded. For one thread."""

    def __init__(self) -> None:
        self._crew = Crew("attach to processes", _LOADS, _SLOW_LOADS)
        self._loads: list[_Load] = []
        self.descriptor = self._crew.descriptor  # Becomes readable when an errand has ended.

    @property
    def is_busy(self) -> bool:
        """Returns true while candidates are being loaded, or were loaded and not yet returned by `ended`."""
        return bool(self._loads)

    def begin(self, process: Process, name: str, load: Callable[[], Candidate]) -> None:
        """Starts to load a candidate. Raises JcollectError if no thread can be started."""
        cancellation = Cancellation()

        def run() -> Candidate:
            with cancellation.heeded():
                return load()

        errand = self._crew.give(run, process.owner)
        self._loads.append(_Load(process, name, errand, cancellation))

    def wait(self, seconds: float) -> None:
        """Waits until a load ends."""
        is_readable(self.descriptor, seconds)

    def ended(self) -> Iterator[tuple[Process, str, Errand]]:
        """Yields each load that has ended, once: its process, its name and its errand."""
        self._crew.seen()
        ended = [load for load in self._loads if load.errand.has_ended]
        self._loads = [load for load in self._loads if load not in ended]
        for load in ended:
            yield load.process, load.name, load.errand

    def close(self, candidates: Sequence[Candidate], seconds: float) -> int:
        """Closes these candidates and those still being loaded; returns how many could not be closed in time.
        The kernel closes their connections when this process ends, and selections end with the connections.
        """
        deadline = time.monotonic() + seconds
        self._crew.close()
        for load in self._loads:
            load.cancellation.cancel()
        crew = Crew("end selections", _CLOSES)
        errands = [errand for each in candidates if (errand := _closing(each, crew))]
        for load in self._loads:
            if load.errand.wait(deadline - time.monotonic()) and load.errand.error is None:
                errands += filter(None, [_closing(load.errand.result, crew)])
        loads, self._loads = self._loads, []
        late = sum(not load.errand.has_ended for load in loads)
        return late + sum(not errand.wait(deadline - time.monotonic()) for errand in errands)


def _closing(candidate: Candidate, crew: Crew) -> Errand | None:
    """Returns the errand that closes it; None if no thread could be started and it was closed here."""
    try:
        return crew.give(candidate.close, candidate.process.owner)
    except JcollectError:
        candidate.close()
        return None

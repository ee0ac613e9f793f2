"""Describes the stacks of events before the hub publishes these, from the memory of their processes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.probes.description import ProbeDescription
from jcollect.probes.overhead import find_guarded, read_overhead
from jcollect.probes.stack_file import StackFile
from jcollect.session.tracee import Tracee
from jcollect.sources.columns import Batch
from jcollect.sources.stacks import StackPlaces, StackTable, StackTrace

# A process whose stacks cannot be opened is asked again after this time.
_RETRY_SECONDS = 0.1
# IDs of agents have 32 bits. Those of an agent that was started later in a process get a number above.
_ID_BITS = 32
_ID_MASK = np.uint64((1 << _ID_BITS) - 1)
# Processes that have exited, whose events may be in flight.
_MOST_PROCESSES = 1024


class _Stacks:
    """The stacks of one process."""

    def __init__(self, tracee: Tracee) -> None:
        self.tracee = tracee
        self.file: StackFile | None = None
        self.known: set[int] = set()
        # Offsets of the IDs of this file, and of the next one.
        self.base = self._next_base = 0
        self._tried = float("-inf")
        # The agent may have been started again, with another file.
        self.may_have_changed = True

    def open(self) -> None:
        """Opens the file, or the one that has replaced it, unless this was tried just now."""
        now = time.monotonic()
        if not self.may_have_changed or now - self._tried < _RETRY_SECONDS:
            return
        self._tried = now
        with contextlib.suppress(OSError, JcollectError):
            library = find_guarded(self.tracee.scan.libraries)
            number = None if library is None else read_overhead(library).stacks
            if number is None:
                return
            opened = StackFile.open(self.tracee.process, number)
            if self.file is not None and self.file.identity == opened.identity:
                opened.close()
            else:
                self.close()
                self.file, self.known = opened, set()
                self.base = self._next_base
                self._next_base += 1 << _ID_BITS
            self.may_have_changed = False

    def follow(self, tracee: Tracee) -> None:
        self.tracee = tracee
        self.may_have_changed = True
        self._tried = float("-inf")

    def read(self) -> list[StackTrace]:
        """Returns the stacks that are new."""
        found: list[StackTrace] = []
        if self.file is not None:
            with contextlib.suppress(OSError):
                for stack in self.file.new():
                    self.known.add(stack.id)
                    found.append(
                        StackTrace(self.tracee.pid, self.base + stack.id, stack.frames, stack.is_truncated)
                    )
        return found

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class StackReading:
    """The stacks of all processes of a session, as a stage of the hub: those of a batch are added to `table`
    before it is published."""

    def __init__(self) -> None:
        self.table = StackTable()
        self._places = StackPlaces()
        self._processes: dict[int, _Stacks] = {}
        self._lock = threading.Lock()

    def follow(self, tracee: Tracee, probes: Sequence[ProbeDescription]) -> None:
        """Takes note of new probes of a process."""
        with self._lock:
            if not self._places.add(probes):
                return
            known = self._processes.get(tracee.pid)
            if known is not None:
                known.follow(tracee)
            else:
                while len(self._processes) >= _MOST_PROCESSES:
                    self._processes.pop(next(iter(self._processes))).close()
                known = self._processes[tracee.pid] = _Stacks(tracee)
            # Now, because they can be read once the process has exited, and not be opened.
            known.open()

    def describe(self, probes: Sequence[ProbeDescription]) -> None:
        """Does nothing: `follow` has the processes of the probes."""

    def apply(self, batch: Batch) -> Batch:
        """Describes the stacks of a batch. Returns it with IDs that are unique in the session."""
        columns = batch.columns
        if not self._places or not len(columns.values):
            return batch
        values = columns.values
        with self._lock:
            for pid, positions in self._places.found(columns.probe, batch.value_counts):
                stacks = self._processes.get(pid)
                if stacks is not None:
                    values = self._described(stacks, values, positions)
        return batch if values is columns.values else replace(batch, columns=replace(columns, values=values))

    def _described(
        self, stacks: _Stacks, values: npt.NDArray[np.uint64], positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        stacks.open()
        words = values[positions]
        ids = set(np.unique(words).tolist()) - {0}
        if not ids <= stacks.known:
            self.table.add(stacks.read())
        is_possible = words <= _ID_MASK
        if not stacks.base and is_possible.all():
            return values
        values = values.copy()
        based = np.where(words == 0, words, words + np.uint64(stacks.base))
        values[positions] = np.where(is_possible, based, np.uint64(0))
        return values

    def counts(self, pid: int) -> tuple[int, int]:
        """Returns how many stacks a process has described, and how many values had none, as it claims."""
        with self._lock:
            stacks = self._processes.get(pid)
            if stacks is None or stacks.file is None:
                return 0, 0
            try:
                return stacks.file.counts()
            except OSError:
                return 0, 0

    def forget(self, ids: Sequence[int]) -> None:
        """Takes note that the IDs of probes can be reassigned."""
        with self._lock:
            self._places.remove(ids)

    def close(self) -> None:
        with self._lock:
            for stacks in self._processes.values():
                stacks.close()
            self._processes = {}

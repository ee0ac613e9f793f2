"""Captured stacks: what a value of type VALUE_TYPE_STACK refers to, and which values those are.

Frames are places in code, not data of the program: redaction leaves them as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jcollect.probes.description import Described
from jcollect.sources.columns import U32, Flags
from jprobe.v1 import probe_pb2

Positions = npt.NDArray[np.int64]

# Limits of one stack: as many frames as an agent keeps, and four times as long.
MOST_FRAMES = 1024
MOST_FRAME_LENGTH = 4096
# Limits of a table: memory, and number of stacks.
MOST_BYTES = 64 << 20
MOST_STACKS = 1 << 16
_STACK_BYTES = 256
_FRAME_BYTES = 8
_TEXT_BYTES = 150


class StackTrace(NamedTuple):
    """A stack: its frames, the innermost first, as `com.acme.Orders.place(Orders.java:42)`."""

    pid: int
    id: int
    frames: tuple[str, ...]
    is_truncated: bool = False


class StackTable:
    """Stacks by process and ID, bounded: the ones that were described first are forgotten. For any
    thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._stacks: dict[tuple[int, int], StackTrace] = {}
        # Each text once: most frames are in many stacks.
        self._texts: dict[str, str] = {}
        self._stack_bytes = self._text_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._stacks)

    def add(self, stacks: Iterable[StackTrace]) -> None:
        """Adds stacks. One that has a known ID replaces that."""
        with self._lock:
            for stack in stacks:
                key = stack.pid, stack.id
                known = self._stacks.pop(key, None)
                if known is not None:
                    self._stack_bytes -= _size(known)
                stack = stack._replace(frames=tuple(map(self._shared, stack.frames)))
                self._stacks[key] = stack
                self._stack_bytes += _size(stack)
            self._evict()

    def get(self, pid: int, number: int) -> StackTrace | None:
        """Returns a stack; None if it is not known, or not any more."""
        return self._stacks.get((pid, number))

    def all(self) -> list[StackTrace]:
        with self._lock:
            return list(self._stacks.values())

    def _shared(self, text: str) -> str:
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = text
            self._text_bytes += _TEXT_BYTES + len(text)
        return known

    def _evict(self) -> None:
        while len(self._stacks) > MOST_STACKS or self._stack_bytes > self._most_bytes // 2:
            self._drop_oldest()
        if self._text_bytes <= self._most_bytes // 2:
            return
        # Texts are shared: half of the stacks go, and then the texts that no other has.
        for _ in range((len(self._stacks) + 1) // 2):
            self._drop_oldest()
        self._texts = {text: text for stack in self._stacks.values() for text in stack.frames}
        self._text_bytes = sum(_TEXT_BYTES + len(text) for text in self._texts)

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._stacks))
        self._stack_bytes -= _size(self._stacks.pop(oldest))


def _size(stack: StackTrace) -> int:
    return _STACK_BYTES + _FRAME_BYTES * len(stack.frames)


class StackPlaces:
    """Which values of which probes are stacks. One thread may ask while another adds."""

    def __init__(self) -> None:
        # By probe ID: the PID, and the indices of the values.
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._has: Flags = np.zeros(1, np.bool_)

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, probes: Iterable[Described]) -> bool:
        """Adds probes; an ID that is described again is reassigned. Returns true if one of them captures a
        stack."""
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        gone: list[int] = []
        for probe in probes:
            indices = stack_indices(probe.values)
            if indices:
                found[probe.id] = probe.pid, indices
            elif probe.id in self._places:
                gone.append(probe.id)
        if found or gone:
            self.remove(gone, found)
        return bool(found)

    def remove(self, ids: Sequence[int], added: dict[int, tuple[int, tuple[int, ...]]] | None = None) -> None:
        """Removes probes whose IDs can be reassigned."""
        if not added and not any(each in self._places for each in ids):
            return
        places = {**self._places, **(added or {})}
        for each in ids:
            places.pop(each, None)
        has = np.zeros(max(places, default=0) + 2, np.bool_)
        has[list(places)] = True
        self._places, self._has = places, has

    def found(self, probe: U32, value_counts: U32) -> list[tuple[int, Positions]]:
        """Returns the positions in the values of a batch that are stacks, with the PID, process by process
        in the order of the events; `probe` and `value_counts` have an element for each event."""
        has, places = self._has, self._places
        flagged = has[np.minimum(probe, len(has) - 1)]
        if not flagged.any():
            return []
        counts = value_counts.astype(np.int64)
        starts = np.cumsum(counts) - counts
        found = []
        for number in np.unique(probe[flagged]).tolist():
            if number not in places:
                continue
            pid, indices = places[number]
            rows = starts[probe == number]
            found += [(pid, rows + index) for index in indices]
        return found


def stack_indices(values: Sequence[probe_pb2.Value]) -> tuple[int, ...]:
    """Returns the indices of the values that are stacks."""
    return tuple(at for at, value in enumerate(values) if value.type == probe_pb2.VALUE_TYPE_STACK)

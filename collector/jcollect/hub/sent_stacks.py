"""Which stacks a subscriber knows, so that each is described once, before the first event that has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jcollect.hub.items import EncodedEvents, Stacks
from jcollect.probes.description import Described
from jcollect.sources.stacks import MOST_STACKS, StackPlaces, StackTable, StackTrace


class SentStacks:
    """For one thread at a time, except `describe`."""

    def __init__(self, table: StackTable) -> None:
        self._table = table
        self._places = StackPlaces()
        self._sent: dict[tuple[int, int], StackTrace] = {}

    def describe(self, probes: Sequence[Described]) -> None:
        """Takes note of probes, before their first events."""
        self._places.add(probes)

    def new_in(self, events: EncodedEvents) -> Stacks | None:
        """Returns the stacks of a batch that the subscriber does not know; None if there are none."""
        if not self._places:
            return None
        columns = events.columns
        if not len(columns.values):
            return None
        new: list[StackTrace] = []
        for pid, positions in self._places.found(columns.probe, events.value_counts):
            for number in np.unique(columns.values[positions]).tolist():
                stack = self._table.get(pid, number) if number else None
                # Another one may have got the ID.
                if stack is not None and self._sent.get((pid, number)) is not stack:
                    self._remember(stack)
                    new.append(stack)
        return Stacks(new) if new else None

    def _remember(self, stack: StackTrace) -> None:
        if len(self._sent) >= MOST_STACKS:
            self._sent.clear()
        self._sent[stack.pid, stack.id] = stack

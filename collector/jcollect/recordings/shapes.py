"""The number of values of each probe, and which are strings: needed to divide columns into events."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jcollect.errors import MalformedStreamError
from jcollect.layout.record import STRING_WORD_LENGTH_MASK, STRING_WORD_LENGTH_SHIFT
from jcollect.limits import MAX_COLLECTOR_PROBES
from jcollect.probes.description import Described
from jcollect.sources.columns import U32, Batch, Columns, with_room
from jprobe.v1 import probe_pb2

# Four times the most that a record of the kernel or of an agent has room for.
MOST_VALUES = 64
_NOT_DESCRIBED = -1


class Shapes:
    """The probes that have been described so far."""

    def __init__(self) -> None:
        # By probe ID. Bit i of a mask is set if value i is a string.
        self._values = np.full(0, _NOT_DESCRIBED, np.int32)
        self._strings = np.zeros(0, np.uint64)

    def add(self, probes: Iterable[Described]) -> None:
        """Adds probes; an ID that is described again is reassigned. Raises MalformedStreamError."""
        new = list(probes)
        size = max((probe.id + 1 for probe in new), default=0)
        if size > MAX_COLLECTOR_PROBES:
            raise MalformedStreamError(f"it has a probe with the ID {size - 1:,}")
        self._values = with_room(self._values, size, fill=_NOT_DESCRIBED)
        self._strings = with_room(self._strings, size)
        for probe in new:
            if len(probe.values) > MOST_VALUES:
                raise MalformedStreamError(f"a probe has {len(probe.values):,} values")
            mask = sum(
                1 << index
                for index, value in enumerate(probe.values)
                if value.type == probe_pb2.VALUE_TYPE_STRING
            )
            self._values[probe.id] = len(probe.values)
            self._strings[probe.id] = np.uint64(mask)

    def value_counts(self, probes: U32) -> U32:
        """Returns the number of values of each event. Raises MalformedStreamError for a probe that was not
        described."""
        if len(probes) and int(probes.max()) >= len(self._values):
            raise MalformedStreamError("a batch has events of a probe that was not described")
        counts = self._values[probes]
        if (counts < 0).any():
            raise MalformedStreamError("a batch has events of a probe that was not described")
        return counts.view(np.uint32)

    def batch(self, columns: Columns, value_counts: U32) -> Batch:
        """Returns the events with the sizes of their texts. Raises MalformedStreamError if these do not add
        up."""
        masks = self._strings[columns.probe]
        if not masks.any():
            if columns.text:
                raise MalformedStreamError("a batch has text without strings")
            return Batch(columns, value_counts, np.zeros(len(columns), np.uint32))
        counts = value_counts.astype(np.int64)
        ends = np.cumsum(counts)
        event = np.repeat(np.arange(len(columns)), counts)
        index = (np.arange(len(columns.values)) - (ends - counts)[event]).astype(np.uint64)
        is_string = (masks[event] >> index & np.uint64(1)).astype(np.bool_)
        lengths = columns.values >> np.uint64(STRING_WORD_LENGTH_SHIFT) & np.uint64(STRING_WORD_LENGTH_MASK)
        sizes = np.bincount(event, np.where(is_string, lengths, np.uint64(0)), len(columns))
        if int(sizes.sum()) != len(columns.text):
            raise MalformedStreamError("a batch has more or less text than its strings")
        return Batch(columns, value_counts, sizes.astype(np.uint32))

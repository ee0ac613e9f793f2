"""Where the time of calls went, as columns with the contents of the protocol's Explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]
Numbers = npt.NDArray[Any]

# The columns by part, and their types: the fields of the message Explanation.
CPU: Final = {
    "on_cpu_nanos": np.uint64,
    "run_queue_nanos": np.uint64,
    "off_cpu_nanos": np.uint64,
    "voluntary_switches": np.uint32,
    "involuntary_switches": np.uint32,
}
UNMOUNTED: Final = {"unmounted_nanos": np.uint64}
FAULTS: Final = {"faults": np.uint32}
SYSCALLS: Final = {
    "syscalls": np.uint32,
    "syscall_nanos": np.uint64,
    "top_syscall": np.uint32,
    "top_syscall_nanos": np.uint64,
}
PAUSES: Final = {"pause_nanos": np.uint64, "top_pause": np.uint32}
COLUMNS: Final = {**CPU, **UNMOUNTED, **FAULTS, **SYSCALLS, **PAUSES}
# Those whose elements are 1 plus an index into `names`; 0 stands for none.
NAMED: Final = ("top_syscall", "top_pause")
MOST_NAME_LENGTH: Final = 256
# Names of one batch.
MOST_NAMES: Final = 4096


@dataclass(frozen=True)
class Explanation:
    """Element i of `known` and of each column belongs to event i of the batch.

    `known` (uint32) is a bit set of ExplanationPart. `columns` has the columns of the parts that are asked
    for, by their names in COLUMNS.
    """

    known: U32
    columns: Mapping[str, Numbers]
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.known)

    def at(self, index: slice | Numbers) -> Explanation:
        """Returns the elements at an index, as numpy has it."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return replace(self, known=self.known[index], columns=columns)

    def bytes_per_event(self) -> int:
        """Size of one event in the columns, in bytes."""
        return self.known.itemsize + sum(column.itemsize for column in self.columns.values())


@dataclass(frozen=True)
class ExplanationCounts:
    """Calls of which all parts that are asked for are known, and others; records of threads that were read,
    and lost."""

    explained: int
    unknown: int
    records: int
    lost: int


def joined_explanations(
    explanations: Sequence[Explanation | None], counts: Sequence[int]
) -> Explanation | None:
    """Returns the explanations of batches with these numbers of events, one after the other; None if there
    are none."""
    present = [each for each in explanations if each is not None]
    if not present:
        return None
    names = list(dict.fromkeys(name for each in present for name in each.names))[:MOST_NAMES]
    indices = {name: number for number, name in enumerate(names, 1)}
    known: list[U32] = []
    columns: dict[str, list[Numbers]] = {name: [] for each in present for name in each.columns}
    for each, count in zip(explanations, counts, strict=True):
        known.append(np.zeros(count, np.uint32) if each is None else each.known)
        # 0 stays 0.
        own = each.names if each is not None else ()
        renumbered = np.array([0, *(indices.get(name, 0) for name in own)], np.uint32)
        for name, parts in columns.items():
            if each is None or name not in each.columns:
                parts.append(np.zeros(count, COLUMNS[name]))
            elif name in NAMED:
                parts.append(renumbered[each.columns[name]])
            else:
                parts.append(each.columns[name])
    return Explanation(
        np.concatenate(known), {name: np.concatenate(parts) for name, parts in columns.items()}, tuple(names)
    )

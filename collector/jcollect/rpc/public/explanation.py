"""Where the time of one call went, as a typed object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jcollect.sources import explanation as columns_of
from jprobe.v1 import collector_pb2


@dataclass(frozen=True, slots=True)
class Explanation:
    """The work of the thread during a call. Times in ns. None: not known, or not asked for.

    `on_cpu_nanos`, `run_queue_nanos`, `off_cpu_nanos` and `unmounted_nanos` add up to the duration: on a CPU,
    ready but waiting for one, blocked or asleep, and, for virtual threads, on no carrier. `top_syscall` is
    the system call with the most time, and `pause` the reason for the longest pause of the JVM; None also if
    there was none.
    """

    on_cpu_nanos: int | None = None
    run_queue_nanos: int | None = None
    off_cpu_nanos: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    unmounted_nanos: int | None = None
    faults: int | None = None
    syscalls: int | None = None
    syscall_nanos: int | None = None
    top_syscall: str | None = None
    top_syscall_nanos: int | None = None
    pause_nanos: int | None = None
    pause: str | None = None


_PARTS = (
    (collector_pb2.EXPLANATION_PART_CPU, columns_of.CPU),
    (collector_pb2.EXPLANATION_PART_UNMOUNTED, columns_of.UNMOUNTED),
    (collector_pb2.EXPLANATION_PART_FAULTS, columns_of.FAULTS),
    (collector_pb2.EXPLANATION_PART_SYSCALLS, columns_of.SYSCALLS),
    (collector_pb2.EXPLANATION_PART_PAUSES, columns_of.PAUSES),
)
_RENAMED = {"top_pause": "pause"}


def explanations_of(explanation: columns_of.Explanation) -> Iterator[Explanation | None]:
    """Yields the explanation of each event of a checked batch; None if nothing is known of it."""
    names = (None, *explanation.names)
    rows = {name: column.tolist() for name, column in explanation.columns.items()}
    for index, known in enumerate(explanation.known.tolist()):
        values = {
            _RENAMED.get(name, name): names[rows[name][index]]
            if name in columns_of.NAMED
            else rows[name][index]
            for part, columns in _PARTS
            if known & part
            for name in columns
            if name in rows
        }
        yield Explanation(**values) if values else None

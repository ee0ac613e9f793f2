"""The settings of a flight recorder. Imports nothing that is slow to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recorder:
    """Delivers the events of the last `last_ns` before a trigger: the begin of a call that throws an
    exception or takes longer than `duration_ns` (0: none does), or the last event of a process that exits.
    """

    last_ns: int
    on_exception: bool = False
    duration_ns: int = 0
    on_exit: bool = False


@dataclass(frozen=True)
class RecorderStatus:
    """The work of a flight recorder so far. Times in ns.

    `deliveries` is how often it was triggered, and `overwritten` the number of events that it did not keep:
    they are no hits. `held_ns` is how far back the rings reach now; `short_ns` the least at a trigger, if
    that was not as far as wanted, else 0.
    """

    deliveries: int = 0
    overwritten: int = 0
    held_ns: int = 0
    short_ns: int = 0

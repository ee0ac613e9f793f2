"""The settings of a flight recorder. Imports nothing that is slow to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recorder:
    """Delivers the events of the last `last_ns` before a trigger: an exception, a call that takes longer than
    `duration_ns` (0: none does), or the exit of the process."""

    last_ns: int
    on_exception: bool = False
    duration_ns: int = 0
    on_exit: bool = False
